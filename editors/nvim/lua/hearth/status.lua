-- The last thing that the server said about itself.
local M = {}

---@class (exact) hearth.Status
---@field kind 'ready'|'loading'|'busy'|'degraded'|'error'
---@field message string
---@field progress number? 0 to 1, while something loads

---@type hearth.Status?
local last

local function announce()
  vim.api.nvim_exec_autocmds('User', { pattern = 'HearthStatus', modeline = false, data = last })
  vim.cmd.redrawstatus()
end

---@param status hearth.Status
function M.set(status)
  last = status
  announce()
end

--- The server is gone, and what it said with it.
function M.ended()
  last = nil
  announce()
end

---@return hearth.Status?
function M.last()
  return last
end

---@return string
function M.text()
  if not last then
    return ''
  end
  if last.kind == 'loading' and type(last.progress) == 'number' then
    return ('hearth: loading %d %%'):format(math.floor(last.progress * 100 + 0.5))
  end
  return 'hearth: ' .. last.kind
end

return M
