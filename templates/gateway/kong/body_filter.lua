local MOST = 4096

return function()
  local mine = kong.ctx.plugin
  local problem = mine.problem
  if not problem then
    return
  end
  mine.body = ((mine.body or "") .. (ngx.arg[1] or "")):sub(1, MOST)
  if not ngx.arg[2] then
    ngx.arg[1] = nil
    return
  end
  local answer = JSON.decode(mine.body)
  local message = type(answer) == "table" and type(answer.message) == "string" and answer.message or problem.title
  if message == problem.title and problem.otherwise then
    message = problem.otherwise
  end
  ngx.arg[1] = JSON.encode({
    type = problem.type,
    title = problem.title,
    status = mine.status,
    detail = problem.detail or message,
    code = problem.code,
    request_id = mine.id,
  }) .. "\n"
end
