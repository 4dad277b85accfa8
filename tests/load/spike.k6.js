// A tenth of the rate, then all of it at once, then a tenth again: whether all is good again after it.
import { after, ask, base, rate, seconds, stepped } from './questions.js';

export { handleSummary } from './questions.js';
const { scenarios, watched } = stepped({ before: 0.1, spike: 1, after: 0.1 }, rate, Math.ceil(seconds / 3));
export const options = {
  ...base, scenarios, thresholds: { ...watched, ...after, 'http_req_failed{scenario:spike}': ['rate<0.01'] },
};

export default function () {
  ask();
}
