// The page: builds its parts, starts a guest and the engine side by side, and leaves handles for devtools and tests. The
// guest does not wait for the engine: it is to run within two seconds of the first paint.

import { DiffPane } from './diff-pane.ts';
import { element } from './dom.ts';
import { loadFonts } from './fonts.ts';
import { FuzzPane } from './fuzz-pane.ts';
import type { HostPane } from './host-pane.ts';
import { lookControl } from './look.ts';
import { MachineTabs } from './machine-tabs.ts';
import { MainThread } from './main-thread.ts';
import { MemoryPane } from './memory-pane.ts';
import { Notices } from './notices.ts';
import { PlatformBar } from './platform-bar.ts';
import { ResumeBar } from './resume-bar.ts';
import { RewindPane } from './rewind-pane.ts';
import { SaveForm } from './save-form.ts';
import { Screens } from './screens.ts';
import { SnapshotList } from './snapshot-list.ts';
import { StepsPane } from './steps-pane.ts';
import { nextPaint } from './turns.ts';
import { Workspace } from './workspace.ts';

const FIRST_GUEST = 'pulse';

/** What embedders and tests find at `window.vitrine`; DEVTOOLS.md says how to use it. */
export interface PageHandles {
  readonly workspace: Workspace;
  readonly notices: Notices;
  readonly tabs: MachineTabs;
  /** Where a bridge serves the page. */
  readonly host?: HostPane;
}

declare global {
  interface Window {
    readonly vitrine: PageHandles;
    readonly vitrineStats: MainThread;
  }
}

const mainThread = new MainThread();
mainThread.observe();

const notices = new Notices();
notices.catchUncaught();
const workspace = new Workspace();
const screens = new Screens(notices);
const tabs = new MachineTabs(workspace, notices, screens);
const handles: PageHandles = { workspace, notices, tabs };
Object.assign(window, { vitrine: handles, vitrineStats: mainThread });

workspace.engineLost.watch((reason) => {
  if (reason !== null) {
    notices.error(reason, 'The engine was lost', { label: 'Open it again', run: () => void openEngine() });
  }
});

const resume = new ResumeBar();
void notices.guard('Opening the page', buildPage);

/** A part a frame, what is used first coming first: all of it at once would hold the page for several frames. */
async function buildPage(): Promise<void> {
  void notices.guard(`Opening ${FIRST_GUEST}`, () => workspace.open(FIRST_GUEST));
  const left = element('div', { className: 'column' }, tabs.element);
  const right = element('div', { className: 'column' });
  document
    .querySelector('#app')
    ?.replaceChildren(notices.element, resume.element, element('main', {}, left, right));
  await nextPaint();
  await loadFonts();
  screens.start();
  await nextPaint();
  void openEngine();
  document.querySelector('header')?.append(lookControl(), new PlatformBar(workspace).element);
  await nextPaint();

  let memory: MemoryPane | undefined;
  let diff: DiffPane | undefined;
  const list = new SnapshotList(workspace, notices, {
    compareWithNow: (snapshot, machine) => void diff?.compare(snapshot, { kind: 'live', machine }),
    compareWithParent(snapshot) {
      const parent = workspace.snapshots.value.find(({ id }) => id === snapshot.parent);
      if (parent !== undefined) void diff?.compare(parent, { kind: 'snapshot', snapshot });
    },
    lookInside: (snapshot) => void memory?.lookInside({ kind: 'snapshot', snapshot }),
  });
  right.append(section('Snapshots', new SaveForm(workspace, notices).element, list.element));
  await nextPaint();
  diff = new DiffPane(workspace, notices, (to, page, from) => void memory?.showDifference(to, page, from));
  right.append(section('Pages that differ', diff.element));
  await nextPaint();
  left.append(section('Rewind', new RewindPane(workspace, notices).element));
  await nextPaint();
  left.append(section('Steps', new StepsPane(workspace, notices).element));
  await nextPaint();
  memory = new MemoryPane(workspace, notices);
  left.append(section('Memory', memory.element));
  await nextPaint();
  right.append(section('Fuzzing', new FuzzPane(notices).element));
  if (document.querySelector('meta[name="vitrine-bridge"]') !== null) {
    await notices.guard('Joining the bridge', () => join(right));
  }
}

/** Where a bridge serves this page, which no other server says of itself. */
async function join(column: HTMLElement): Promise<void> {
  const { joinBridge } = await import('./bridge-session.ts');
  const admission = await joinBridge();
  document.documentElement.dataset.bridge = admission;
  if (admission === 'joined') {
    const { openHostPane } = await import('./host-pane.ts');
    const host = await openHostPane(workspace, notices);
    Object.assign(handles, { host });
    column.prepend(section('Machines of the host', host.element));
  }
  if (admission !== 'late') return;
  notices.tell(
    'This address was opened before, or is too old: “vitrine open” prints another one. Machines of this page work without it.',
  );
}

async function openEngine(): Promise<void> {
  await notices.guard('Opening the engine', async () => {
    await workspace.openEngine();
    await resume.offer(workspace, notices);
  });
}

function section(title: string, ...content: readonly Node[]): HTMLElement {
  const id = `section-${title.toLowerCase().replaceAll(' ', '-')}`;
  return element(
    'section',
    { className: `card ${id}`, attributes: { 'aria-labelledby': id } },
    element('h2', { id }, title),
    ...content,
  );
}
