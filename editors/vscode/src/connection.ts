// The connection to the daemon: one `hearth lsp` and the language client that talks to it.

import { commands, type LogOutputChannel, window } from "vscode";
import { LanguageClient, type LanguageClientOptions, State } from "vscode-languageclient/node";

import { findProgram, isEnabledFor } from "./settings";
import type { Status, StatusItem } from "./status";

const STATUS = "hearth/status";

export class Connection {
  private client: LanguageClient | undefined;
  private restarting: Promise<void> | undefined;
  private again = false;

  constructor(
    private readonly log: LogOutputChannel,
    private readonly status: StatusItem,
  ) {}

  /**
   * Start, or stop and start. Calls while that goes on are one more restart after it, however many:
   *
   *     calls       a     b c d
   *     restarts    aaaaaaaaabbbbbbb
   */
  restart(): Promise<void> {
    if (this.restarting !== undefined) {
      this.again = true;
      return this.restarting;
    }
    this.restarting = this.restartUntilSettled().finally(() => {
      this.restarting = undefined;
    });
    return this.restarting;
  }

  async stop(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    // One that failed to start cannot be stopped, and need not be; one that is starting anew by
    // itself can be stopped only when it has started.
    if (client?.needsStop() === true) {
      await client.start().catch(() => undefined);
      await client.dispose();
    }
  }

  private async restartUntilSettled(): Promise<void> {
    do {
      this.again = false;
      await this.stop();
      await this.start();
    } while (this.again);
  }

  private async start(): Promise<void> {
    const program = findProgram();
    if (program.path === undefined) {
      this.fail(`The program \`hearth\` was not found (${program.searched}).`);
      return;
    }
    this.status.set({ kind: "loading", message: `Starting ${program.path}`, progress: null });
    const client = new LanguageClient(
      "hearth",
      "Hearth",
      // No transport is named: the client would add an argument `--stdio` for it.
      { command: program.path, args: ["lsp"] },
      this.options(),
    );
    client.onNotification(STATUS, (status: Status) => this.status.set(status));
    client.onDidChangeState(({ newState }) => this.follow(client, newState));
    this.client = client;
    try {
      await client.start();
    } catch (error) {
      this.log.error(`${program.path} lsp: ${String(error)}`);
      this.fail(`\`${program.path} lsp\` could not be started.`);
    }
  }

  private options(): LanguageClientOptions {
    return {
      documentSelector: [{ scheme: "file" }, { scheme: "untitled" }],
      outputChannel: this.log,
      initializationFailedHandler: () => false,
      middleware: {
        provideInlineCompletionItems: (document, position, context, token, next) =>
          isEnabledFor(document) ? next(document, position, context, token) : undefined,
      },
    };
  }

  /** A server that died is started anew by the client; when that gives up, Stopped stays. */
  private follow(client: LanguageClient, state: State): void {
    if (client !== this.client) {
      return;
    }
    if (state === State.Running) {
      this.status.set({ kind: "ready", message: "Connected", progress: null });
    } else if (state === State.Stopped) {
      this.status.set({ kind: "stopped", message: "The server has ended", progress: null });
    }
  }

  private fail(message: string): void {
    this.status.set({ kind: "error", message, progress: null });
    void this.offerHelp(message);
  }

  private async offerHelp(message: string): Promise<void> {
    const settings = "Open Settings";
    const log = "Show Log";
    const advice = "Install Hearth, or set `hearth.path`; then restart the connection.";
    const chosen = await window.showErrorMessage(`${message} ${advice}`, settings, log);
    if (chosen === settings) {
      await commands.executeCommand("workbench.action.openSettings", "hearth.path");
    } else if (chosen === log) {
      this.log.show();
    }
  }
}
