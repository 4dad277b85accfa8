// One rate, every question another one. Environment: BASE, TOKENS, COLLECTION, RATE (per second), SECONDS.
import { arrivals, ask, base, rate, seconds, thresholds } from './questions.js';

export { handleSummary } from './questions.js';
export const options = { ...base, thresholds, scenarios: { steady: arrivals(rate, seconds) } };

export default function () {
  ask(0);
}
