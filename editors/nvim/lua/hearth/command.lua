-- :Hearth and its verbs.
local M = {}

---@type table<string, fun()>
local verbs = {
  status = function()
    local status = require('hearth.status').last()
    if status then
      vim.notify(('%s: %s'):format(require('hearth').status(), status.message))
    elseif #require('hearth.client').running() > 0 then
      vim.notify('hearth: connected, no status yet')
    else
      vim.notify('hearth: not running here; :Hearth start starts it', vim.log.levels.WARN)
    end
  end,
  start = function()
    require('hearth').start()
  end,
  stop = function()
    require('hearth').stop()
  end,
  toggle = function()
    local on = require('hearth').toggle()
    vim.notify('hearth: suggestions in this buffer are ' .. (on and 'on' or 'off'))
  end,
  log = function()
    local lsp_log = vim.lsp.log
    vim.cmd.tabedit(vim.fn.fnameescape(lsp_log.get_filename()))
    vim.cmd.normal({ 'G', bang = true })
  end,
}

---@return string[]
function M.names()
  local names = vim.tbl_keys(verbs)
  table.sort(names)
  return names
end

---@param arguments string[]
function M.run(arguments)
  local name = arguments[1] or 'status'
  local verb = verbs[name]
  if not verb then
    local known = table.concat(M.names(), ', ')
    vim.notify(('hearth: no command `%s`; there are %s'):format(name, known), vim.log.levels.ERROR)
    return
  end
  verb()
end

---@param lead string what the last word begins with
---@param line string the command line so far
---@return string[]
function M.complete(lead, line)
  if line:find('^%s*%S+%s+%S+%s') then
    return {} -- The verb is there already.
  end
  return vim.tbl_filter(function(name)
    return vim.startswith(name, lead)
  end, M.names())
end

return M
