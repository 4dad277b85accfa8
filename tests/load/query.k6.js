// As mixed.k6.js, but for whole answers: POST /api/v1/query. Without a chat model they are passages; with one its rate is the limit.
import { arrivals, ask, base, rate, seconds, thresholds } from './questions.js';

export { handleSummary } from './questions.js';
export const options = { ...base, thresholds, scenarios: { steady: arrivals(rate, seconds) } };

export default function () {
  ask(undefined, '/api/v1/query');
}
