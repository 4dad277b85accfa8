// As mixed.k6.js for 20 minutes; bench/load.py looks whether the memory of the services grows meanwhile.
import { arrivals, ask, base, rate, thresholds } from './questions.js';

export { handleSummary } from './questions.js';
export const options = {
  ...base, thresholds, scenarios: { steady: arrivals(rate, Number(__ENV.SECONDS || 1200)) },
};

export default function () {
  ask();
}
