// Wires the parts together and owns nothing else.

import { commands, type ExtensionContext, window, workspace } from "vscode";

import { Connection } from "./connection";
import { StatusItem } from "./status";

let connection: Connection | undefined;

export async function activate(context: ExtensionContext): Promise<void> {
  const log = window.createOutputChannel("Hearth", { log: true });
  const status = new StatusItem();
  const current = new Connection(log, status);
  connection = current;
  context.subscriptions.push(
    log,
    status,
    commands.registerCommand("hearth.restart", () => current.restart()),
    commands.registerCommand("hearth.showLog", () => log.show()),
    commands.registerCommand("hearth.showStatus", () => status.show()),
    workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("hearth.path")) {
        void current.restart();
      }
    }),
  );
  await current.restart();
}

export async function deactivate(): Promise<void> {
  await connection?.stop();
}
