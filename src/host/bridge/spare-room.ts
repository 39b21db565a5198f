// Room that several ask for at once: one after another, so that no two are given the same.

export class SpareRoom {
  #takenBytes = 0;
  #asking: Promise<unknown> = Promise.resolve();

  /**
   * Takes so many bytes if `isThere` says so, who hears how many others have taken; else nothing. Answers whether it did. Throws what
   * `isThere` throws.
   */
  take(bytes: number, isThere: (takenBytes: number) => Promise<boolean>): Promise<boolean> {
    const asked = this.#asking.then(async () => {
      const isTaken = await isThere(this.#takenBytes);
      if (isTaken) this.#takenBytes += bytes;
      return isTaken;
    });
    this.#asking = asked.catch(() => {});
    return asked;
  }

  giveBack(bytes: number): void {
    this.#takenBytes -= bytes;
  }
}
