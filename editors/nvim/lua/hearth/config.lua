-- The options: their defaults, and what is wrong with those that a user gave.
local M = {}

---@class (exact) hearth.Keymaps
---@field accept string|false take the whole suggestion
---@field accept_word string|false take its next word
---@field accept_line string|false take the rest of the line, or the next line

---@class (exact) hearth.Options
---@field cmd? string[] how the server is started
---@field filetypes? string[] nil: every file that has a file type
---@field keymaps? { accept?: string|false, accept_word?: string|false, accept_line?: string|false }
---@field auto? boolean suggest while typing; false: only after :Hearth toggle

---@class (exact) hearth.Config
---@field cmd string[]
---@field filetypes string[]?
---@field keymaps hearth.Keymaps
---@field auto boolean

---@type hearth.Config
local defaults = {
  cmd = { 'hearth', 'lsp' },
  filetypes = nil,
  keymaps = { accept = '<Tab>', accept_word = '<C-Right>', accept_line = '<C-l>' },
  auto = true,
}

local current = vim.deepcopy(defaults)

---@param prefix string
---@param given table<string, any>
---@param expected table<string, string[]>
local function check_fields(prefix, given, expected)
  for name, value in pairs(given) do
    local types = expected[name]
    if not types then
      local names = vim.tbl_keys(expected)
      table.sort(names)
      error(
        ('hearth: there is no option `%s%s`; there are %s'):format(
          prefix,
          name,
          table.concat(names, ', ')
        ),
        0
      )
    elseif not vim.tbl_contains(types, type(value)) then
      error(
        ('hearth: option `%s%s` takes a %s, not a %s'):format(prefix, name, types[1], type(value)),
        0
      )
    end
  end
end

---@param options hearth.Options
function M.set(options)
  M.check(options)
  current = vim.tbl_deep_extend('force', vim.deepcopy(defaults), options)
end

---@return hearth.Config
function M.get()
  return current
end

--- Say which option is wrong, before a server is started with it.
---@param options hearth.Options
function M.check(options)
  local expected = {
    cmd = { 'table' },
    filetypes = { 'table', 'nil' },
    keymaps = { 'table' },
    auto = { 'boolean' },
  }
  check_fields('', options, expected)
  local keys = {}
  for name in pairs(defaults.keymaps) do
    keys[name] = { 'string', 'boolean' }
  end
  check_fields('keymaps.', options.keymaps or {}, keys)
end

return M
