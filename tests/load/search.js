// A steady stream of distinct questions at one rate. Environment: BASE, TOKEN, COLLECTION, RATE (per second), SECONDS.
import http from 'k6/http';
import { check } from 'k6';

const words = ['retry', 'backup', 'token', 'table', 'vector', 'schema', 'restore', 'progress', 'validate', 'render',
  'parse', 'lock', 'stream', 'timeout', 'format', 'test', 'package', 'annotate', 'compress', 'encrypt'];

export const options = {
  scenarios: {
    steady: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.RATE),
      timeUnit: '1s',
      duration: `${__ENV.SECONDS}s`,
      preAllocatedVUs: 50,
      maxVUs: 200,
    },
  },
  summaryTrendStats: ['med', 'p(95)', 'p(99)', 'max'],
};

export default function () {
  const pick = () => words[Math.floor(Math.random() * words.length)];
  const body = JSON.stringify({ query: `${pick()} ${pick()} ${pick()}`, collection: __ENV.COLLECTION, limit: 5 });
  const headers = { Authorization: `Bearer ${__ENV.TOKEN}`, 'Content-Type': 'application/json' };
  const answer = http.post(`${__ENV.BASE}/api/v1/search`, body, { headers });
  check(answer, { answered: (r) => r.status === 200 });
}

export function handleSummary(data) {
  const m = data.metrics;
  return {
    stdout: JSON.stringify({
      requests: m.http_reqs.values.count,
      failed: m.http_req_failed.values.passes,
      dropped: m.dropped_iterations ? m.dropped_iterations.values.count : 0,
      milliseconds: m.http_req_duration.values,
    }),
  };
}
