/**
 * nginx + Lua doing what a mirror does: both heads and bodies copied, encoded with lua-cjson, posted in
 * batches from a timer over a kept-alive cosocket. No redaction, no disk, no retry: a failed batch is gone.
 */
import { answerWord, orderWord } from '../bed/payload.ts'
import type { Bed } from '../harness/bed.ts'
import { luaLibraries, luaModules } from '../harness/machine.ts'
import { holds, received, type Row } from '../harness/target.ts'
import { startNginx } from './nginx.ts'

const initWorker = (bed: Bed): string => `
  local cjson = require 'cjson'
  local queue, queued = {}, 0

  local function post(items, count)
    local sock = ngx.socket.tcp()
    sock:settimeout(5000)
    if not sock:connect('127.0.0.1', ${bed.collector}) then return end
    local body = cjson.encode(items)
    sock:send({ 'POST /items HTTP/1.1\\r\\nHost: collector\\r\\nContent-Type: application/json\\r\\n',
      'x-items: ', count, '\\r\\nContent-Length: ', #body, '\\r\\n\\r\\n', body })
    local length = 0
    while true do
      local line = sock:receive('*l')
      if not line then return sock:close() end
      if line == '' then break end
      local found = line:lower():match('^content%-length:%s*(%d+)')
      if found then length = tonumber(found) end
    end
    if length > 0 then sock:receive(length) end
    sock:setkeepalive(60000, 16)
  end

  local function flush()
    local items, count = queue, queued
    queue, queued = {}, 0
    if count > 0 then post(items, count) end
  end

  function mirror_push(item)
    queued = queued + 1
    queue[queued] = item
    if queued >= 500 then
      local items, count = queue, queued
      queue, queued = {}, 0
      ngx.timer.at(0, function() post(items, count) end)
    end
  end
  ngx.timer.every(0.2, flush)
`

const location = `
  access_by_lua_block { ngx.req.read_body() ; ngx.ctx.request_body = ngx.req.get_body_data() }
  body_filter_by_lua_block {
    local ctx, chunk = ngx.ctx, ngx.arg[1]
    local size = ctx.size or 0
    if chunk ~= '' and size < 262144 then
      local chunks = ctx.chunks
      if not chunks then chunks = {}; ctx.chunks = chunks end
      chunks[#chunks + 1] = chunk
      ctx.size = size + #chunk
    end
  }
  log_by_lua_block {
    local ctx, var = ngx.ctx, ngx.var
    mirror_push({
      id = var.request_id, ts = ngx.req.start_time(), client = var.remote_addr,
      request = { method = var.request_method, uri = var.request_uri, host = var.host,
        headers = ngx.req.get_headers(), body = ctx.request_body },
      response = { status = ngx.status, headers = ngx.resp.get_headers(),
        body = ctx.chunks and table.concat(ctx.chunks) or nil },
      ms = ngx.now() - ngx.req.start_time()
    })
  }
`

export const nginxLua: Row = {
  name: 'nginx-lua',
  goal: 'nginx + Lua copying both bodies, batched posts from a timer: the cheapest scripted mirror',
  needs: ['nginx-lua'],
  start: async (bed, folder) => {
    const target = await startNginx(bed, folder, {
      name: 'nginx-lua',
      top: `load_module ${luaModules}/ndk_http_module.so; load_module ${luaModules}/ngx_http_lua_module.so;`,
      http: `lua_package_path '/usr/share/lua/5.1/?.lua;;'; lua_package_cpath '${luaLibraries()}/?.so;;';
        lua_max_running_timers 1024; lua_max_pending_timers 1024;
        init_worker_by_lua_block { ${initWorker(bed)} }`,
      location,
    })
    return {
      ...target,
      begin: async () => void (await bed.stats(true)),
      settle: (requests) => received(bed, requests),
    }
  },
  proof: (stats, shape) => holds(stats, shape === 'post' ? [answerWord, orderWord] : [answerWord]),
}
