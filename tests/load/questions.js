// Questions for the load scripts: a pool that is asked again and again, and others that nobody asked before.
import http from 'k6/http';
import exec from 'k6/execution';
import { check } from 'k6';
import { Counter, Trend } from 'k6/metrics';

const WORDS = ['retry', 'backup', 'token', 'table', 'vector', 'schema', 'restore', 'progress', 'validate', 'render',
  'parse', 'lock', 'stream', 'timeout', 'format', 'test', 'package', 'annotate', 'compress', 'encrypt'];
const TOKENS = (__ENV.TOKENS || __ENV.TOKEN || '').split(',');
const POOL = Number(__ENV.POOL || 200);
const REPEATED = Number(__ENV.REPEATED || 0.8);
const MOST_P95 = Number(__ENV.MOST_P95 || 50);
const MOST_P99 = Number(__ENV.MOST_P99 || 200);

const repeated = new Trend('repeated', true);
const distinct = new Trend('distinct', true);
// Of what failed: 0 is no answer at all.
const STATUSES = [0, 400, 401, 403, 404, 429, 500, 502, 503, 504];
const failures = Object.fromEntries(STATUSES.map((status) => [status, new Counter(`status_${status}`)]));

export const seconds = Number(__ENV.SECONDS || 300);
export const rate = Number(__ENV.RATE || 1000);
export const base = { summaryTrendStats: ['med', 'p(95)', 'p(99)', 'max'], discardResponseBodies: true };
export const thresholds = {
  http_req_failed: ['rate<0.001'],
  http_req_duration: [`p(95)<${MOST_P95}`, `p(99)<${MOST_P99}`],
  dropped_iterations: ['count<1'],
};
// What a scenario called `after` has to hold, whatever came before it.
export const after = {
  'http_req_failed{scenario:after}': ['rate<0.001'],
  'http_req_duration{scenario:after}': [`p(95)<${MOST_P95}`, `p(99)<${MOST_P99}`],
  'dropped_iterations{scenario:after}': ['count<1'],
};

// A steady stream of arrivals: a server that is slow does not make the generator slow.
export function arrivals(perSecond, duration) {
  return {
    executor: 'constant-arrival-rate', rate: perSecond, timeUnit: '1s', duration: `${duration}s`,
    preAllocatedVUs: Math.max(20, Math.ceil(perSecond / 10)), maxVUs: Math.max(100, perSecond),
  };
}

const ORDER = [];  // of the steps: k6 has no order for the figures of its scenarios

// Scenarios in turn, by name and share of the rate, `length` seconds each with a pause of two seconds between them.
// A threshold that always holds is how k6 keeps the figures of one scenario.
export function stepped(shares, perSecond, length) {
  const scenarios = {}, watched = {};
  let start = 0;
  for (const [name, share] of Object.entries(shares)) {
    const key = name.replaceAll(' ', '_');
    ORDER.push(key);
    const step = arrivals(Math.max(1, Math.round(perSecond * share)), length);
    scenarios[key] = { ...step, startTime: `${start}s`, gracefulStop: '2s' };
    for (const [metric, always] of [['http_reqs', 'count>=0'], ['http_req_failed', 'rate>=0'],
      ['http_req_duration', 'max>=0'], ['dropped_iterations', 'count>=0']]) {
      watched[`${metric}{scenario:${key}}`] = [always];
    }
    start += length + 2;
  }
  return { scenarios, watched };
}

const word = (number) => WORDS[number % WORDS.length];

function pooled() {
  const number = Math.floor(Math.random() * POOL);
  return `${word(number)} ${word(Math.floor(number / WORDS.length) + 7)} ${word(number * 7 + 3)}`;
}

function fresh() {
  const number = exec.scenario.iterationInTest;
  return `${word(number)} ${word(Math.floor(Math.random() * 1000))} ${exec.vu.idInTest}x${number}`;
}

export function ask(shareRepeated, path) {
  const again = Math.random() < (shareRepeated === undefined ? REPEATED : shareRepeated);
  const body = JSON.stringify({ query: again ? pooled() : fresh(), collection: __ENV.COLLECTION, limit: 5 });
  const token = TOKENS[exec.scenario.iterationInTest % TOKENS.length];
  const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' };
  const answer = http.post(`${__ENV.BASE}${path || '/api/v1/search'}`, body, { headers });
  check(answer, { answered: (one) => one.status === 200 });
  if (failures[answer.status]) failures[answer.status].add(1);
  (again ? repeated : distinct).add(answer.timings.duration);
}

function steps(values, metric) {
  return ORDER.filter((name) => `http_reqs{scenario:${name}}` in metric).map((name) => ({
    name: name.replaceAll('_', ' '),
    requests: values(`http_reqs{scenario:${name}}`).count || 0,
    failed: values(`http_req_failed{scenario:${name}}`).passes || 0,
    dropped: values(`dropped_iterations{scenario:${name}}`).count || 0,
    milliseconds: values(`http_req_duration{scenario:${name}}`),
  }));
}

export function handleSummary(data) {
  const metric = data.metrics;
  const values = (name) => (metric[name] ? metric[name].values : {});
  return {
    stdout: JSON.stringify({
      requests: values('http_reqs').count || 0,
      rate: values('http_reqs').rate || 0,
      failed: values('http_req_failed').passes || 0,
      dropped: values('dropped_iterations').count || 0,
      milliseconds: values('http_req_duration'),
      repeated: values('repeated'),
      distinct: values('distinct'),
      steps: steps(values, metric),
      statuses: STATUSES.map((status) => [status, values(`status_${status}`).count || 0]).filter(([, count]) => count),
    }),
  };
}
