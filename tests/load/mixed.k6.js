// One rate, most questions asked before. Environment: BASE, TOKENS, COLLECTION, RATE (per second), SECONDS, REPEATED (0 to 1).
import { arrivals, ask, base, rate, seconds, thresholds } from './questions.js';

export { handleSummary } from './questions.js';
export const options = { ...base, thresholds, scenarios: { steady: arrivals(rate, seconds) } };

export default function () {
  ask();
}
