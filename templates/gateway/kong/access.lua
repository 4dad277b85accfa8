-- Before any signature is checked. A token only names who asks, so it takes nothing out of a bucket: claims.lua does that,
-- behind the check. But a consumer whose bucket is empty is refused without the check.
return function()
  local mine = kong.ctx.plugin
  if mine.ready then
    return
  end
  local service = kong.router.get_service()
  if mine.claimed and service and service.name == SETTINGS.guarded then
    if is_empty(mine.claimed) then
      return refuse()
    end
  elseif is_flood(address()) then
    return refuse()
  end
end
