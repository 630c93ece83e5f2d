// The item in the status bar: the last thing that the server said about itself.

import {
  commands,
  type Disposable,
  MarkdownString,
  StatusBarAlignment,
  type StatusBarItem,
  ThemeColor,
  window,
} from "vscode";

export interface Status {
  readonly kind: "ready" | "loading" | "busy" | "degraded" | "error" | "stopped";
  readonly message: string;
  /** From 0 to 1, while something loads. */
  readonly progress: number | null;
}

const ICONS: Readonly<Record<Status["kind"], string>> = {
  ready: "$(flame)",
  loading: "$(loading~spin)",
  busy: "$(sync~spin)",
  degraded: "$(warning)",
  error: "$(error)",
  stopped: "$(circle-slash)",
};

const BACKGROUNDS: Partial<Readonly<Record<Status["kind"], string>>> = {
  degraded: "statusBarItem.warningBackground",
  error: "statusBarItem.errorBackground",
};

export class StatusItem implements Disposable {
  private readonly item: StatusBarItem;
  private status: Status = { kind: "stopped", message: "Not started", progress: null };

  constructor() {
    this.item = window.createStatusBarItem("hearth.status", StatusBarAlignment.Right, 100);
    this.item.name = "Hearth";
    this.item.command = "hearth.showStatus";
    this.set(this.status);
    this.item.show();
  }

  set(status: Status): void {
    this.status = status;
    const progress = status.progress === null ? "" : ` ${Math.round(status.progress * 100)} %`;
    const background = BACKGROUNDS[status.kind];
    this.item.text = `${ICONS[status.kind] ?? "$(question)"} Hearth${progress}`;
    const tooltip = `Hearth: ${status.kind}\n${status.message}`;
    this.item.tooltip = new MarkdownString().appendText(tooltip);
    this.item.backgroundColor = background === undefined ? undefined : new ThemeColor(background);
    this.item.accessibilityInformation = { label: `Hearth ${status.kind}: ${status.message}` };
  }

  /** Say it in full, with what can be done about it. */
  async show(): Promise<void> {
    const actions = { Restart: "hearth.restart", "Show Log": "hearth.showLog" } as const;
    const names = Object.keys(actions) as (keyof typeof actions)[];
    const text = `Hearth is ${this.status.kind}. ${this.status.message}`;
    const chosen = await window.showInformationMessage(text, ...names);
    if (chosen !== undefined) {
      await commands.executeCommand(actions[chosen]);
    }
  }

  dispose(): void {
    this.item.dispose();
  }
}
