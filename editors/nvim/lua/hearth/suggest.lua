-- Shows suggestions the best way this Neovim has: ghost text since 0.12, a popup menu before.
local M = {}

---@return boolean
function M.has_ghost()
  return vim.lsp.inline_completion ~= nil
end

---@return hearth.Surface
local function surface()
  return require(M.has_ghost() and 'hearth.ghost' or 'hearth.popup')
end

--- One way to show suggestions.
---@class (exact) hearth.Surface
---@field prepare fun(client: vim.lsp.Client)
---@field enable fun(enable: boolean, client: vim.lsp.Client, bufnr: integer)
---@field is_enabled fun(client: vim.lsp.Client, bufnr: integer): boolean
---@field accept fun(extent: hearth.Extent): boolean whether there was something to accept

---@alias hearth.Extent 'all'|'word'|'line'

---@param client vim.lsp.Client
function M.prepare(client)
  surface().prepare(client)
end

--- Take the suggestion or a part of it, soon: the text is locked while a mapping is evaluated.
---@param extent hearth.Extent
---@return boolean accepted whether there was one
function M.accept(extent)
  return surface().accept(extent)
end

---@param client vim.lsp.Client
---@param bufnr integer
function M.attach(client, bufnr)
  local config = require('hearth.config').get()
  surface().enable(config.auto, client, bufnr)
  ---@type table<hearth.Extent, string|false>
  local keys = {
    all = config.keymaps.accept,
    word = config.keymaps.accept_word,
    line = config.keymaps.accept_line,
  }
  for extent, lhs in pairs(keys) do
    require('hearth.keymap').map(bufnr, lhs, 'accept ' .. extent, function()
      return M.accept(extent)
    end)
  end
end

---@param bufnr integer
---@return boolean
function M.toggle(bufnr)
  local client = vim.lsp.get_clients({ name = 'hearth', bufnr = bufnr })[1]
  if not client then
    vim.notify('hearth: this buffer has no server; see :checkhealth hearth', vim.log.levels.WARN)
    return false
  end
  local enable = not surface().is_enabled(client, bufnr)
  surface().enable(enable, client, bufnr)
  return enable
end

return M
