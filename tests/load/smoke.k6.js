// Half a minute at a low rate: whether the whole way works under any load at all. Environment as mixed.k6.js.
import { arrivals, ask, base, rate, seconds, thresholds } from './questions.js';

export { handleSummary } from './questions.js';
export const options = { ...base, thresholds, scenarios: { steady: arrivals(rate, seconds) } };

export default function () {
  ask();
}
