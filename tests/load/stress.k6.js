// Half of the rate to three times of it, a step after another, then half again: where it bends, and whether it comes back.
// Overload may be refused (429, 503) or slow; what follows it may not.
import { after, ask, base, rate, seconds, stepped } from './questions.js';

export { handleSummary } from './questions.js';
const STEPS = { half: 0.5, whole: 1, 'one and a half': 1.5, double: 2, triple: 3, after: 0.5 };
const step = Math.ceil(seconds / Object.keys(STEPS).length);
const { scenarios, watched } = stepped(STEPS, rate, step);
export const options = { ...base, scenarios, thresholds: { ...watched, ...after } };

export default function () {
  ask();
}
