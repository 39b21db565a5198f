// QEMU's lists of options, `file=a.qcow2,if=virtio`: it splits them at commas, and a comma that is meant is written twice.

/** The options of a list, each as it is written there; joined by commas they are the list. */
export function optionsIn(list: string): string[] {
  const options = [''];
  for (const piece of list.split(/(,,|,)/)) {
    if (piece === ',') options.push('');
    else options[options.length - 1] += piece;
  }
  return options;
}

/** A value as it is written in a list. */
export function quoted(value: string): string {
  return value.replaceAll(',', ',,');
}

/** What is meant by a value of a list. */
export function unquoted(text: string): string {
  return text.replaceAll(',,', ',');
}
