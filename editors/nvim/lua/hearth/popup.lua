-- Suggestions as popup completion, for Neovim 0.10 and 0.11, which cannot draw ghost text.
local M = {}

local METHOD = 'textDocument/completion'
local PAUSE_MS = 200 -- The pause that 0.12 keeps before it asks for ghost text.

function M.prepare() end

--- Ask whenever typing pauses; a key within the pause starts it anew.
---@param group integer
---@param bufnr integer
local function ask_after_pauses(group, bufnr)
  local timer = assert(vim.uv.new_timer())
  vim.api.nvim_create_autocmd('TextChangedI', {
    group = group,
    buffer = bufnr,
    callback = function()
      timer:start(PAUSE_MS, 0, vim.schedule_wrap(function()
        local typing = vim.api.nvim_get_mode().mode == 'i'
        if typing and vim.api.nvim_get_current_buf() == bufnr then
          vim.lsp.completion.get()
        end
      end))
    end,
  })
  vim.api.nvim_create_autocmd('BufUnload', {
    group = group,
    buffer = bufnr,
    callback = function()
      timer:stop()
    end,
  })
end

--- The word that the menu inserts. Neovim's own choice ends at the first blank, and it does not
--- replace anything behind the cursor, such as a bracket that closed itself.
---@param item lsp.CompletionItem
---@param encoding string
---@return table
local function whole_word(item, encoding)
  local word = (item.textEdit and item.textEdit.newText or item.insertText or item.label)
  word = word:match('^[^\n]*')
  local range = item.textEdit and item.textEdit.range
  if range then
    local line = vim.api.nvim_get_current_line()
    local column = vim.api.nvim_win_get_cursor(0)[2]
    local stop = vim.str_byteindex(line, encoding, range['end'].character, false)
    local covered = line:sub(column + 1, stop)
    if covered ~= '' and vim.endswith(word, covered) then
      word = word:sub(1, #word - #covered)
    end
  end
  return { word = word }
end

--- 0.10 has only 'omnifunc', which Neovim sets by itself when a server attaches: <C-x><C-o> asks.
---@param enable boolean
---@param client vim.lsp.Client
---@param bufnr integer
function M.enable(enable, client, bufnr)
  vim.b[bufnr].hearth_popup = enable
  local has_menu = vim.lsp.completion and vim.lsp.completion.enable
  if not has_menu or not client:supports_method(METHOD, bufnr) then
    return
  end
  vim.lsp.completion.enable(enable, client.id, bufnr, {
    autotrigger = enable,
    convert = function(item)
      return whole_word(item, client.offset_encoding)
    end,
  })
  local group = vim.api.nvim_create_augroup('hearth.popup.' .. bufnr, { clear = true })
  if enable then
    -- Otherwise Neovim types the first entry before anybody chose it.
    vim.bo[bufnr].completeopt = 'menuone,noselect,popup'
    ask_after_pauses(group, bufnr)
  end
end

---@param _ vim.lsp.Client
---@param bufnr integer
---@return boolean
function M.is_enabled(_, bufnr)
  return vim.b[bufnr].hearth_popup == true
end

--- Take the chosen entry of the open menu, or its first one. A menu has no parts to accept.
---@param extent hearth.Extent
---@return boolean
function M.accept(extent)
  if extent ~= 'all' or vim.fn.pumvisible() == 0 then
    return false
  end
  local chosen = vim.fn.complete_info({ 'selected' }).selected ~= -1
  local keys = chosen and '<C-y>' or '<C-n><C-y>'
  vim.api.nvim_feedkeys(vim.api.nvim_replace_termcodes(keys, true, false, true), 'n', false)
  return true
end

return M
