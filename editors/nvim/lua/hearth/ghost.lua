-- Ghost text by Neovim's own `vim.lsp.inline_completion` (0.12), kept true to the buffer.
--
-- Neovim draws an answer wherever the cursor is when it comes, keeps drawing it while other text is
-- typed, and on acceptance replaces the range that was right when it asked. Typing one fitting
-- character and then Tab would save that character twice:
--
--     asked    foo|            ghost (bar)    range = foo
--     typed    foo(|           ghost  bar)
--     accepted foo(bar)(       the range still ends after foo
--
-- So what was asked is remembered; a ghost that the typed text contradicts is hidden and not
-- accepted, and what was typed in agreement is taken out before the whole is put in.
local M = {}

local METHOD = 'textDocument/inlineCompletion'

--- Neovim's own name for it; a name always gives the same number.
local namespace = vim.api.nvim_create_namespace('nvim.lsp.inline_completion')

--- The answer that is on the screen, and the line that it was computed for.
---@class (exact) hearth.Ghost
---@field row integer
---@field before string the line up to the cursor
---@field after string the rest of the line
---@field edits table<string|lsp.StringValue, hearth.Edit> by the item's text

---@class (exact) hearth.Edit
---@field tail string what the item adds behind `before`
---@field covered string what it takes away at the beginning of `after`, mostly to write it again

---@type table<integer, hearth.Ghost?>
local ghosts = {}

---@param bufnr integer
---@return integer row, string before, string after
local function line_at_cursor(bufnr)
  local cursor = vim.api.nvim_win_get_cursor(vim.fn.bufwinid(bufnr))
  local row, column = cursor[1] - 1, cursor[2]
  local line = vim.api.nvim_buf_get_lines(bufnr, row, row + 1, false)[1] or ''
  return row, line:sub(1, column), line:sub(column + 1)
end

--- What an item does around the cursor; nil for one that rewrites the text before it.
---@param item lsp.InlineCompletionItem
---@param ghost hearth.Ghost
---@param encoding string
---@return hearth.Edit?
local function edit_of(item, ghost, encoding)
  if type(item.insertText) ~= 'string' then
    return nil
  end
  local cursor = #ghost.before
  local start, stop = cursor, cursor
  if item.range then
    local line = ghost.before .. ghost.after
    start = vim.str_byteindex(line, encoding, item.range.start.character, false)
    stop = vim.str_byteindex(line, encoding, item.range['end'].character, false)
  end
  local repeated = ghost.before:sub(start + 1)
  if vim.startswith(item.insertText, repeated) then
    return {
      tail = item.insertText:sub(#repeated + 1),
      covered = ghost.after:sub(1, stop - cursor),
    }
  end
end

--- What was typed since the ghost was asked for; nil if something else happened to the line.
---@param ghost hearth.Ghost
---@param bufnr integer
---@return string?
local function typed_since(ghost, bufnr)
  local row, before, after = line_at_cursor(bufnr)
  if row == ghost.row and after == ghost.after and vim.startswith(before, ghost.before) then
    return before:sub(#ghost.before + 1)
  end
end

--- Whether the ghost on the screen may still be accepted. Without a memory of one, Neovim decides.
---@param bufnr integer
---@return boolean
local function agrees(bufnr)
  local ghost = ghosts[bufnr]
  local rivals = vim.lsp.get_clients({ bufnr = bufnr, method = METHOD })
  if not ghost or #rivals > 1 then
    return true
  end
  local typed = typed_since(ghost, bufnr)
  if not typed or typed == '' then
    return typed ~= nil
  end
  for _, edit in pairs(ghost.edits) do
    if #edit.tail > #typed and vim.startswith(edit.tail, typed) then
      return true
    end
  end
  return false
end

---@param bufnr integer
local function hide_contradicted(bufnr)
  if vim.fn.bufwinid(bufnr) ~= -1 and not agrees(bufnr) then
    vim.api.nvim_buf_clear_namespace(bufnr, namespace, 0, -1)
  end
end

--- Remember what each request was asked for, and which answer is shown.
---@param client vim.lsp.Client
function M.prepare(client)
  local request = client.request
  ---@diagnostic disable-next-line: duplicate-set-field
  client.request = function(self, method, params, handler, bufnr)
    if method ~= METHOD or not handler or not bufnr then
      return request(self, method, params, handler, bufnr)
    end
    local row, before, after = line_at_cursor(bufnr)
    return request(self, method, params, function(failure, answer, context, ...)
      -- No answer (it was overtaken) leaves the ghost on the screen as it is; an empty one ends it.
      if not failure and answer then
        local ghost = { row = row, before = before, after = after, edits = {} }
        for _, item in ipairs(answer.items or answer) do
          ghost.edits[item.insertText] = edit_of(item, ghost, self.offset_encoding)
        end
        ghosts[bufnr] = ghost
      end
      handler(failure, answer, context, ...)
      hide_contradicted(bufnr)
    end, bufnr)
  end
end

---@param enable boolean
---@param client vim.lsp.Client
---@param bufnr integer
function M.enable(enable, client, bufnr)
  if not client:supports_method(METHOD, bufnr) then
    return
  end
  vim.lsp.inline_completion.enable(enable, { bufnr = bufnr })
  -- After Neovim's own handlers of the same events, which draw.
  local group = vim.api.nvim_create_augroup('hearth.ghost.' .. bufnr, { clear = true })
  if enable then
    vim.api.nvim_create_autocmd({ 'CursorMovedI', 'TextChangedP' }, {
      group = group,
      buffer = bufnr,
      callback = function()
        hide_contradicted(bufnr)
      end,
    })
    vim.api.nvim_create_autocmd('BufWipeout', {
      group = group,
      buffer = bufnr,
      callback = function()
        ghosts[bufnr] = nil
      end,
    })
  end
end

---@param _ vim.lsp.Client
---@param bufnr integer
---@return boolean
function M.is_enabled(_, bufnr)
  return vim.lsp.inline_completion.is_enabled({ bufnr = bufnr })
end

---@param text string
---@param extent hearth.Extent
---@return string
local function beginning(text, extent)
  if extent == 'line' then
    return text:match('^\n?[^\n]*')
  end
  return text:match('^%s*[%w_\128-\255]+') or text:match('^%s*[^%s%w_\128-\255]+') or text
end

--- How many bytes at the end of `text` stand at the beginning of `covered`.
---@param text string
---@param covered string
---@return integer
local function overlap(text, covered)
  for length = math.min(#text, #covered), 1, -1 do
    if vim.endswith(text, covered:sub(1, length)) then
      return length
    end
  end
  return 0
end

--- Put a part of an item in at the cursor, and the cursor behind it. A bracket that the editor has
--- closed by itself is written over, as the whole item would.
---@param bufnr integer
---@param text string
---@param covered string
local function insert_part(bufnr, text, covered)
  local window = vim.fn.bufwinid(bufnr)
  local row, column = unpack(vim.api.nvim_win_get_cursor(window))
  local lines = vim.split(text, '\n', { plain = true })
  local stop = column + overlap(text, covered)
  vim.api.nvim_buf_set_text(bufnr, row - 1, column, row - 1, stop, lines)
  local last = #lines[#lines] + (#lines == 1 and column or 0)
  vim.api.nvim_win_set_cursor(window, { row + #lines - 1, last })
end

--- Make the buffer what it was when the item was asked for, or insert a part of the item.
---@param item vim.lsp.inline_completion.Item
---@param extent hearth.Extent
---@param bufnr integer
---@return vim.lsp.inline_completion.Item? item what is left for Neovim to put in
local function fit(item, extent, bufnr)
  local ghost = ghosts[bufnr]
  local edit = ghost and ghost.edits[item.insert_text]
  if not ghost or not edit then
    return extent == 'all' and item or nil
  end
  local typed = typed_since(ghost, bufnr)
  if not typed or not vim.startswith(edit.tail, typed) then
    return nil
  end
  if extent ~= 'all' then
    insert_part(bufnr, beginning(edit.tail:sub(#typed + 1), extent), edit.covered)
    return nil
  end
  local column = #ghost.before
  vim.api.nvim_buf_set_text(bufnr, ghost.row, column, ghost.row, column + #typed, { '' })
  ghosts[bufnr] = nil
  return item
end

---@param extent hearth.Extent
---@return boolean
function M.accept(extent)
  local bufnr = vim.api.nvim_get_current_buf()
  if not agrees(bufnr) then
    return false
  end
  return vim.lsp.inline_completion.get({
    bufnr = bufnr,
    on_accept = function(item)
      return fit(item, extent, bufnr)
    end,
  })
end

return M
