// The settings, as values. VS Code merges what the user, the machine and the workspace say.

import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";

import { type TextDocument, workspace } from "vscode";

/** The program to start; undefined if there is none where `searched` says. */
export interface Program {
  readonly path: string | undefined;
  readonly searched: string;
}

export function findProgram(): Program {
  const configured = workspace.getConfiguration("hearth").get<string>("path", "").trim();
  if (configured !== "") {
    const path = configured.replace(/^~(?=\/)/, homedir());
    return { path: existsSync(path) ? path : undefined, searched: `hearth.path, ${path}` };
  }
  // A desktop session often has a shorter PATH than a shell, without the place of pipx and uv.
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), join(homedir(), ".local/bin")];
  const path = folders.map((folder) => join(folder, "hearth")).find(existsSync);
  return { path, searched: "the PATH and ~/.local/bin" };
}

export function isEnabledFor(document: TextDocument): boolean {
  const enable = workspace
    .getConfiguration("hearth", document)
    .get<Readonly<Record<string, boolean>>>("enable", {});
  return enable[document.languageId] ?? enable["*"] ?? true;
}
