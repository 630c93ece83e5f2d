-- Defines :Hearth and nothing else; the modules are loaded when they are used.
if vim.g.loaded_hearth then
  return
end
vim.g.loaded_hearth = true

vim.api.nvim_create_user_command('Hearth', function(call)
  require('hearth.command').run(call.fargs)
end, {
  desc = 'Hearth: status, start, stop, toggle, log',
  nargs = '*',
  complete = function(lead, line)
    return require('hearth.command').complete(lead, line)
  end,
})
