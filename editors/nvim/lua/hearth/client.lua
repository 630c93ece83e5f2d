-- Starts and stops `hearth lsp`, and says which buffers it serves.
local M = {}

local NAME = 'hearth'
local ROOT_MARKERS = { '.git', '.hg', '.jj' }

local group = vim.api.nvim_create_augroup('hearth', { clear = true })

--- Set while we stop the server ourselves, so that its end is not reported as a failure.
local stopping = false

--- A buffer that shows a file of this machine: no listing, terminal, prompt or other scheme.
---@param bufnr integer
---@return boolean
function M.is_ordinary(bufnr)
  local name = vim.api.nvim_buf_get_name(bufnr)
  return vim.bo[bufnr].buftype == '' and name ~= '' and not name:find('^%a[%w+.-]+://')
end

---@param bufnr integer
---@return boolean
local function is_served(bufnr)
  local filetypes = require('hearth.config').get().filetypes
  return M.is_ordinary(bufnr)
    and (not filetypes or vim.tbl_contains(filetypes, vim.bo[bufnr].filetype))
end

---@param bufnr integer
---@return string
local function root_of(bufnr)
  local name = vim.api.nvim_buf_get_name(bufnr)
  return vim.fs.root(bufnr, ROOT_MARKERS) or vim.fs.dirname(name)
end

--- What is missing before a server can start, said so that a user can mend it; nil when nothing is.
---@return string?
function M.obstacle()
  local program = require('hearth.config').get().cmd[1]
  if program and vim.fn.executable(program) == 1 then
    return nil
  end
  local advice = 'Install Hearth so that it is on the PATH of Neovim, or name it: '
    .. "require('hearth').setup { cmd = { '/path/to/hearth', 'lsp' } }. Then :Hearth start"
  return ('hearth: cannot run `%s`. %s'):format(program or '', advice)
end

---@param code integer
---@param signal integer
local function on_exit(code, signal)
  local failed = code ~= 0 and not stopping and vim.v.exiting == vim.NIL
  vim.schedule(function()
    require('hearth.status').ended()
    if failed then
      local how = signal ~= 0 and ('signal %d'):format(signal) or ('exit code %d'):format(code)
      local advice = ':Hearth log says more, :Hearth start tries again'
      vim.notify(('hearth: `hearth lsp` ended (%s). %s'):format(how, advice), vim.log.levels.ERROR)
    end
  end)
end

---@return vim.lsp.ClientConfig
local function client_config()
  local config = require('hearth.config').get()
  return {
    name = NAME,
    cmd = config.cmd,
    -- Each change is sent at once: the server drops an answer that a key has overtaken, and
    -- can start on the new text before it is asked for it.
    flags = { debounce_text_changes = 0 },
    handlers = {
      ['hearth/status'] = function(_, params)
        require('hearth.status').set(params)
      end,
    },
    on_init = function(client)
      require('hearth.suggest').prepare(client)
    end,
    on_exit = on_exit,
  }
end

--- Neovim 0.11 and newer: its own registry of servers decides when to start and to attach.
local function register()
  local config = client_config()
  ---@param bufnr integer
  ---@param on_dir fun(root: string)
  config.root_dir = function(bufnr, on_dir)
    if is_served(bufnr) then
      on_dir(root_of(bufnr))
    end
  end
  vim.lsp.config(NAME, config)
  vim.lsp.enable(NAME)
end

--- Neovim 0.10: the same by hand.
local function start_by_hand()
  local function start(bufnr)
    if is_served(bufnr) then
      local config = client_config()
      config.root_dir = root_of(bufnr)
      vim.lsp.start(config, { bufnr = bufnr })
    end
  end
  vim.api.nvim_create_autocmd('FileType', {
    group = group,
    callback = function(event)
      start(event.buf)
    end,
  })
  for _, bufnr in ipairs(vim.api.nvim_list_bufs()) do
    if vim.api.nvim_buf_is_loaded(bufnr) and vim.bo[bufnr].filetype ~= '' then
      start(bufnr)
    end
  end
end

function M.start()
  local obstacle = M.obstacle()
  if obstacle then
    vim.notify(obstacle, vim.log.levels.ERROR)
    return
  end
  stopping = false
  vim.api.nvim_clear_autocmds({ group = group })
  vim.api.nvim_create_autocmd('LspAttach', {
    group = group,
    callback = function(event)
      local client = vim.lsp.get_client_by_id(event.data.client_id)
      if client and client.name == NAME then
        require('hearth.suggest').attach(client, event.buf)
      end
    end,
  })
  if vim.lsp.config then
    register()
  else
    start_by_hand()
  end
end

function M.stop()
  stopping = true
  vim.api.nvim_clear_autocmds({ group = group })
  if vim.lsp.config then
    vim.lsp.enable(NAME, false)
  else
    vim.lsp.stop_client(M.running())
  end
end

---@return vim.lsp.Client[]
function M.running()
  return vim.lsp.get_clients({ name = NAME })
end

return M
