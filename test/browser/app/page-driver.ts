// The page as a person uses it: by the names of its parts and their roles, so that what has no name fails a test.

import type { Page } from 'playwright';
import type {} from '../../../src/app/main.ts';

export class PageDriver {
  readonly page: Page;

  constructor(page: Page) {
    this.page = page;
  }

  /** Goes to the page and waits until it can save. */
  async open(origin: string): Promise<void> {
    await this.page.goto(origin);
    await this.page.waitForFunction(
      () => document.querySelector<HTMLButtonElement>('.save button')?.disabled === false,
    );
  }

  /** Opens a guest by its button and waits for its tab. */
  async openGuest(title: string, machine: string): Promise<void> {
    await this.page.getByRole('group', { name: 'Open a guest' }).getByRole('button', { name: title }).click();
    await this.page.getByRole('tab', { name: machine, exact: false, selected: true }).waitFor();
  }

  /** Types into the terminal that is shown. */
  async type(text: string): Promise<void> {
    await this.page.locator('.terminal-pane:visible textarea').focus();
    await this.page.keyboard.type(text);
  }

  /** Waits until the terminal of a machine holds `text`, `count` times or more. */
  async waitForOutput(machine: string, text: string, count = 1): Promise<void> {
    await this.page.waitForFunction(
      ([name, wanted, times]) => {
        const { workspace, tabs } = window.vitrine;
        const open = workspace.find(name);
        const shown = open === undefined ? '' : (tabs.paneOf(open)?.terminal.text ?? '');
        return shown.split(wanted).length > times;
      },
      [machine, text, count] as const,
    );
  }

  /** The lines of the screen of the machine on show, from the text beside its canvas. */
  async screenText(): Promise<string> {
    return (await this.page.locator('.machine:not([hidden]) .screen pre').textContent()) ?? '';
  }

  /** A number that stands behind a word on the screen: `ticks 123`. */
  async numberOnScreen(word: string): Promise<number> {
    const found = new RegExp(`${word}\\s+(\\d+)`).exec(await this.screenText());
    return Number(found?.[1] ?? Number.NaN);
  }

  /** Waits until a number on the screen is above `than`. */
  async waitForNumber(word: string, than: number): Promise<void> {
    await this.page.waitForFunction(
      ([name, least]) => {
        const text = document.querySelector('.machine:not([hidden]) .screen pre')?.textContent ?? '';
        return Number(new RegExp(`${name}\\s+(\\d+)`).exec(text)?.[1] ?? 0) > least;
      },
      [word, than] as const,
    );
  }

  async save(label: string): Promise<void> {
    await this.page.getByLabel('Label', { exact: true }).fill(label);
    await this.page.getByRole('button', { name: /^Save / }).click();
    await this.snapshot(label).waitFor();
    // The list comes before the work's end; the button tells of that.
    await this.page.waitForFunction(
      () => document.querySelector<HTMLButtonElement>('.save button')?.disabled === false,
    );
  }

  snapshot(label: string) {
    return this.page.getByRole('treeitem').filter({ has: this.page.getByText(label, { exact: true }) });
  }

  async choose(label: string): Promise<void> {
    await this.snapshot(label).click();
  }

  /** A button of the toolbar below the list. */
  async act(name: string | RegExp): Promise<void> {
    await this.page.getByRole('toolbar').getByRole('button', { name }).click();
  }

  async restore(label: string, answer: 'Save first, then restore' | 'Restore without saving'): Promise<void> {
    await this.answerRestore(label, answer);
    await this.notice(`is at “${label}”`).waitFor();
  }

  /** As `restore`, where it may fail. */
  async answerRestore(label: string, answer: string): Promise<void> {
    await this.choose(label);
    await this.act(/^Restore /);
    await this.page.getByRole('dialog').getByRole('button', { name: answer }).click();
  }

  notice(text: string | RegExp) {
    return this.page.locator('.notice').filter({ hasText: text });
  }

  /** Errors that the page reported, as text. */
  errors(): Promise<string[]> {
    return this.page.evaluate(() => window.vitrine.notices.errors.map(String));
  }
}
