-- Insert-mode keys that act when there is a suggestion, and otherwise do what they did before.
local M = {}

---@alias hearth.Mapping table<string, any> as vim.fn.maparg() describes it

--- What the key would have typed, or what its earlier mapping gives.
---@param earlier hearth.Mapping
---@param lhs string
---@return string
local function otherwise(earlier, lhs)
  if earlier.callback and earlier.expr == 1 then
    return earlier.callback() or ''
  elseif earlier.callback then
    vim.schedule(earlier.callback) -- The text is locked while an expression mapping is evaluated.
    return ''
  elseif earlier.rhs and earlier.expr == 1 then
    return vim.api.nvim_eval(earlier.rhs)
  end
  return earlier.rhs or lhs
end

---@param bufnr integer
---@param lhs string|false
---@param desc string
---@param act fun(): boolean whether it did anything
function M.map(bufnr, lhs, desc, act)
  if not lhs then
    return
  end
  desc = 'Hearth: ' .. desc
  local earlier = vim.api.nvim_buf_call(bufnr, function()
    return vim.fn.maparg(lhs, 'i', false, true)
  end)
  if earlier.desc == desc then
    return -- Ours already, from an earlier attachment: it would fall through to itself.
  end
  vim.keymap.set('i', lhs, function()
    return act() and '' or otherwise(earlier, lhs)
  end, { buffer = bufnr, expr = true, desc = desc })
end

return M
