// The package as a stranger gets it: packed, and installed from the tarball into an empty folder far from this tree.

import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PROGRAMS = fileURLToPath(new URL('programs', import.meta.url));
const call = promisify(execFile);

/** What is in a tarball, and where it is. */
export interface Tarball {
  readonly file: string;
  readonly paths: readonly string[];
  /** Of the file itself. */
  readonly sizeBytes: number;
}

/** Builds and packs the package into `folder`. */
export async function pack(folder: string): Promise<Tarball> {
  await call('npm', ['run', '--silent', 'prepack'], { cwd: ROOT });
  const args = ['pack', '--ignore-scripts', '--json', '--pack-destination', folder];
  const { stdout } = await call('npm', args, { cwd: ROOT });
  const [packed] = JSON.parse(stdout) as [{ filename: string; size: number; files: { path: string }[] }];
  const paths = packed.files.map(({ path }) => path);
  return { file: join(folder, packed.filename), paths, sizeBytes: packed.size };
}

/** A folder for one test file. */
export function makeFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'vitrine-pack-'));
}

export function removeFolder(folder: string): Promise<void> {
  return rm(folder, { recursive: true, force: true });
}

/** A folder with a package.json and the tarball installed. */
export class BlankProject {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async create(tarball: Tarball): Promise<BlankProject> {
    const project = new BlankProject(await makeFolder());
    await project.write('package.json', JSON.stringify({ private: true, type: 'module' }));
    await project.install([tarball.file]);
    return project;
  }

  /** One whose `vitrine` is this tree, built: for pages it is what the tarball holds, and there sooner. */
  static async linked(): Promise<BlankProject> {
    await call('npm', ['run', '--silent', 'build:lib'], { cwd: ROOT });
    const project = new BlankProject(await makeFolder());
    await project.write('package.json', JSON.stringify({ private: true, type: 'module' }));
    await mkdir(join(project.folder, 'node_modules'));
    await symlink(ROOT, join(project.folder, 'node_modules', 'vitrine'), 'dir');
    return project;
  }

  async install(what: readonly string[]): Promise<void> {
    await call('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', ...what], {
      cwd: this.folder,
    });
  }

  write(name: string, text: string): Promise<void> {
    return writeFile(join(this.folder, name), text);
  }

  async writeBytes(name: string, bytes: Uint8Array): Promise<void> {
    await mkdir(dirname(join(this.folder, name)), { recursive: true });
    await writeFile(join(this.folder, name), bytes);
  }

  /** Takes a file of test/pack/programs. */
  copy(name: string): Promise<void> {
    return copyFile(join(PROGRAMS, name), join(this.folder, name));
  }

  /** Copies one file of the installed package to where a site serves files as they are. */
  async publish(path: string, name: string): Promise<void> {
    const target = join(this.folder, 'public');
    await mkdir(target, { recursive: true });
    await copyFile(join(this.folder, 'node_modules', 'vitrine', path), join(target, name));
  }

  /** Runs a file in Node; what it prints, as JSON. Rejects when it fails. */
  async run(name: string, ...args: string[]): Promise<unknown> {
    const { stdout } = await call(process.execPath, [name, ...args], { cwd: this.folder });
    return JSON.parse(stdout);
  }

  /** Checks a TypeScript file against the declarations of the package; what the compiler says. */
  async compile(name: string, moduleResolution: 'bundler' | 'nodenext'): Promise<string> {
    const module = moduleResolution === 'bundler' ? 'esnext' : 'nodenext';
    const flags = ['--strict', '--noEmit', '--target', 'es2023', '--lib', 'es2023,dom'];
    const args = [...flags, '--module', module, '--moduleResolution', moduleResolution, '--types', '', name];
    try {
      await call(join(ROOT, 'node_modules', '.bin', 'tsc'), args, { cwd: this.folder });
      return '';
    } catch (error) {
      return (error as { stdout: string }).stdout;
    }
  }

  remove(): Promise<void> {
    return removeFolder(this.folder);
  }
}
