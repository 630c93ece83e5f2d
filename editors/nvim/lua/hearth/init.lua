-- What a user's configuration calls. Each function loads what it needs.
local M = {}

--- Start Hearth for every ordinary file buffer, open now or later.
---@param options? hearth.Options
function M.setup(options)
  require('hearth.config').set(options or {})
  require('hearth.client').start()
end

--- The state in a few words, for a status line; empty while nothing runs.
---@return string
function M.status()
  return require('hearth.status').text()
end

--- Start `hearth lsp` (again) for the buffers that are open.
function M.start()
  require('hearth.client').start()
end

--- Stop `hearth lsp` in this Neovim. The daemon goes on serving other editors.
function M.stop()
  require('hearth.client').stop()
end

--- Switch suggestions in the current buffer off, or on again.
---@return boolean shown whether they are on now
function M.toggle()
  return require('hearth.suggest').toggle(vim.api.nvim_get_current_buf())
end

return M
