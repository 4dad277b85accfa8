// A tenth of the rate, then all of it at once, then a tenth again: whether what was refused or slow is good again after it.
import { ask, base, rate, seconds } from './questions.js';

export { handleSummary } from './questions.js';
const quiet = Math.max(1, Math.floor(rate / 10));
export const options = {
  ...base,
  thresholds: { http_req_failed: ['rate<0.01'] },
  scenarios: {
    spike: {
      executor: 'ramping-arrival-rate', startRate: quiet, timeUnit: '1s',
      preAllocatedVUs: Math.max(20, Math.ceil(rate / 10)), maxVUs: Math.max(100, rate),
      stages: [
        { target: quiet, duration: `${Math.ceil(seconds / 3)}s` },
        { target: rate, duration: '1s' },
        { target: rate, duration: `${Math.ceil(seconds / 3)}s` },
        { target: quiet, duration: '1s' },
        { target: quiet, duration: `${Math.ceil(seconds / 3)}s` },
      ],
    },
  },
};

export default function () {
  ask();
}
