// Debian packages of another architecture, fetched and unpacked without installing anything or touching the system's
// package lists: apt is given a state of its own.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export class Apt {
  #work;
  #architecture;
  #updated = false;
  #updateError = '';

  /** Packages of Debian's `architecture`; `work` keeps their lists and them between runs. */
  constructor(work, architecture) {
    this.#work = work;
    this.#architecture = architecture;
    for (const folder of ['lists/partial', 'cache/archives/partial', 'packages', 'unpacked']) {
      mkdirSync(join(work, folder), { recursive: true });
    }
    writeFileSync(join(work, 'status'), '', { flag: 'a' });
  }

  /** The packages that `name` depends on, from the index. */
  dependencies(name) {
    this.#update();
    const lines = this.#run('apt-cache', ['depends', name]).split('\n');
    return lines.map((line) => /^\s*Depends: (\S+)$/.exec(line)?.[1]).filter((one) => one !== undefined);
  }

  /** Downloads and unpacks a package; returns its folder and version. What is there already is not fetched again. */
  fetch(name) {
    this.#update();
    const version = /^\s*Candidate: (\S+)$/m.exec(this.#run('apt-cache', ['policy', name]))?.[1];
    if (version === undefined) {
      throw new Error(`no package ${name} for ${this.#architecture} in the index${this.#updateError}`);
    }
    const folder = join(this.#work, 'unpacked', `${name}_${version.replace(/[^\w.+~-]/g, '_')}`);
    const done = join(folder, '.unpacked');
    if (!existsSync(done)) {
      const packages = join(this.#work, 'packages');
      this.#run('apt-get', ['download', `${name}=${version}`], { cwd: packages });
      const file = readdirSync(packages).find((one) => one.startsWith(`${name}_`) && one.endsWith('.deb'));
      if (file === undefined) throw new Error(`apt-get download left no file for ${name}`);
      mkdirSync(folder, { recursive: true });
      this.#run('dpkg-deb', ['-x', join(packages, file), folder]);
      writeFileSync(done, version);
    }
    return { folder, version };
  }

  #update() {
    if (this.#updated) return;
    this.#updated = true;
    try {
      this.#run('apt-get', ['-q', 'update'], { stdio: 'pipe' });
    } catch (error) {
      // One index of several may fail (a mirror in the middle of its sync); the others may do.
      this.#updateError = `\n${error.stderr ?? error.message}`;
    }
  }

  #run(tool, args, options = {}) {
    const own = {
      'APT::Architecture': this.#architecture,
      'APT::Architectures': this.#architecture,
      'APT::Sandbox::User': 'root',
      'Dir::State': this.#work,
      'Dir::State::lists': join(this.#work, 'lists'),
      'Dir::State::status': join(this.#work, 'status'),
      'Dir::Cache': join(this.#work, 'cache'),
    };
    const settings = Object.entries(own).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
    const all = tool === 'dpkg-deb' ? args : [...settings, ...args];
    return execFileSync(tool, all, { encoding: 'utf8', maxBuffer: 1 << 28, ...options });
  }
}
