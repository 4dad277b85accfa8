-- An answer of the gateway's own is a problem detail (RFC 9457); body_filter.lua writes it.
local function never_connected()
  return not tostring(ngx.var.upstream_connect_time or ""):find("%d")
end

local function problem_status(status)
  -- Nothing that was never reached can have broken off or taken too long.
  if (status == 502 or status == 504) and kong.response.get_source() == "error" and never_connected() then
    return 503
  end
  return status
end

local balancer = require "kong.runloop.balancer"

local function upstream_health()
  local found, answer = pcall(balancer.get_balancer_health, SETTINGS.upstream)
  return (found and type(answer) == "table" and answer.health or "unknown"):lower()
end

local function tell_limit(limit)
  kong.response.set_header("x-ratelimit-limit", tostring(SETTINGS.limit.burst))
  kong.response.set_header("x-ratelimit-remaining", tostring(limit.remaining))
  kong.response.set_header("x-ratelimit-reset", tostring(limit.reset))
  if limit.refused then
    kong.response.set_header("retry-after", tostring(SETTINGS.limit.retry_after))
  end
end

return function()
  local mine = kong.ctx.plugin
  mine.id = mine.id or ngx.var.kong_request_id
  kong.response.set_header("x-request-id", mine.id)
  kong.response.clear_header("server")
  if kong.ctx.shared.ragops_limit then
    tell_limit(kong.ctx.shared.ragops_limit)
  end
  if mine.ready then
    kong.response.set_header(SETTINGS.worker_header, ngx.worker.id() .. "/" .. ngx.worker.count())
    kong.response.set_header(SETTINGS.upstream_header, upstream_health())
  end
  local status = kong.response.get_status()
  if kong.response.get_source() == "service" or status < 400 then
    return
  end
  status = problem_status(status)
  kong.response.set_status(status)
  mine.problem = SETTINGS.problems[tostring(status)] or SETTINGS.problems.other
  mine.status = status
  kong.response.clear_header("content-length")
  kong.response.set_header("content-type", "application/problem+json")
  if status == 405 and kong.response.get_source() == "error" then  -- a method that nginx itself refuses
    kong.response.set_header("allow", SETTINGS.methods)
  end
  for name, value in pairs(mine.problem.headers or {}) do
    kong.response.set_header(name, value)
  end
end
