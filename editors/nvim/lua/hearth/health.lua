-- :checkhealth hearth
local M = {}

local VERSION_TIMEOUT_MS = 10000

local function check_neovim()
  if require('hearth.suggest').has_ghost() then
    vim.health.ok('this Neovim draws ghost text')
  elseif vim.fn.has('nvim-0.11') == 1 then
    vim.health.ok('suggestions come as popup completion; ghost text needs Neovim 0.12')
  elseif vim.fn.has('nvim-0.10') == 1 then
    vim.health.warn('suggestions come by <C-x><C-o> only; 0.11 has a menu, 0.12 has ghost text')
  else
    vim.health.error('Neovim 0.10 or newer is needed')
  end
end

---@return boolean
local function check_program()
  local obstacle = require('hearth.client').obstacle()
  if obstacle then
    vim.health.error(obstacle)
    return false
  end
  local program = require('hearth.config').get().cmd[1]
  local done = vim.system({ program, '--version' }, { text = true }):wait(VERSION_TIMEOUT_MS)
  if done.code ~= 0 then
    local said = vim.trim((done.stderr or '') .. (done.stdout or ''))
    vim.health.error(('`%s --version` fails'):format(program), said ~= '' and said or nil)
    return false
  end
  vim.health.ok(('%s: %s'):format(vim.fn.exepath(program), vim.trim(done.stdout)))
  return true
end

local function check_server()
  local client = require('hearth.client').running()[1]
  if not client then
    vim.health.warn('not running in this Neovim', {
      "call require('hearth').setup() in your init.lua",
      'open a file that has a file type, or use :Hearth start',
    })
    return
  end
  local buffers = vim.tbl_count(client.attached_buffers)
  vim.health.ok(('connected; serves %d buffer(s), root %s'):format(buffers, client.root_dir or '-'))
  local status = require('hearth.status').last()
  if not status then
    vim.health.info('the server has not said how it is')
  elseif status.kind == 'error' or status.kind == 'degraded' then
    vim.health.warn(('%s: %s'):format(status.kind, status.message))
  else
    vim.health.ok(('%s: %s'):format(status.kind, status.message))
  end
end

--- Another plugin may have mapped the key after us.
local function check_key()
  local lhs = require('hearth.config').get().keymaps.accept
  if not lhs then
    vim.health.info('no key accepts suggestions: keymaps.accept is false')
    return
  end
  for _, client in ipairs(require('hearth.client').running()) do
    for bufnr in pairs(client.attached_buffers) do
      local mapping = vim.api.nvim_buf_call(bufnr, function()
        return vim.fn.maparg(lhs, 'i', false, true)
      end)
      if not vim.startswith(mapping.desc or '', 'Hearth') then
        local file = vim.fn.fnamemodify(vim.api.nvim_buf_get_name(bufnr), ':~:.')
        vim.health.warn(('%s in %s belongs to something else'):format(lhs, file), {
          'set keymaps.accept to another key, or load Hearth after the other plugin',
        })
        return
      end
    end
  end
  vim.health.ok(lhs .. ' accepts')
end

function M.check()
  vim.health.start('hearth')
  check_neovim()
  if check_program() then
    check_server()
    check_key()
  end
end

return M
