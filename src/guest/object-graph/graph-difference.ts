// The first place in which two graphs differ, by its path: for people who look for what a restore lost.

import { equalBytes } from '../../base/bytes.ts';
import { equalTexts } from './field-layout.ts';
import { type GraphPlan, HOLE, NewNode, type NodePlan } from './graph-plan.ts';
import { type Inventory, joinPath } from './inventory.ts';
import { KIND } from './node-kind.ts';

/** `uart.0.rxFIFO.used: 3 and 4`, or undefined where the graphs are equal. */
export function graphDifference(a: GraphPlan, b: GraphPlan, inventory: Inventory): string | undefined {
  const paths = pathsOfNew(a, inventory);
  const nodes = [
    ...inventory.nodes.map((node, id) => ({ path: node.path, a: a.known[id]!, b: b.known[id]! })),
    ...a.made.map((plan, index) => ({ path: paths[index] ?? `new ${index}`, a: plan, b: b.made[index] })),
  ];
  for (const node of nodes) {
    const difference = nodeDifference(node.path, node.a, node.b, inventory, paths);
    if (difference !== undefined) return difference;
  }
  return a.made.length === b.made.length ? undefined : `${b.made.length - a.made.length} objects more`;
}

function nodeDifference(
  path: string,
  a: NodePlan,
  b: NodePlan | undefined,
  inventory: Inventory,
  paths: readonly string[],
): string | undefined {
  if (b === undefined || a.kind !== b.kind || a.prototype !== b.prototype) {
    return `${path}: objects of different classes`;
  }
  if (!equalTexts(a.fields, b.fields)) {
    return `${path}: fields ${a.fields.join()} and ${b.fields.join()}`;
  }
  const length = Math.max(a.values.length, b.values.length);
  for (let i = 0; i < length; i++) {
    if (isSame(a.values[i], b.values[i]) && i < a.values.length && i < b.values.length) continue;
    const show = (values: readonly unknown[]) =>
      i < values.length ? describe(values[i], inventory, paths) : 'nothing';
    return `${joinPath(path, stepOf(a, i))}: ${show(a.values)} and ${show(b.values)}`;
  }
  if (a.bytes !== null && b.bytes !== null && !equalBytes(a.bytes, b.bytes)) {
    const at = a.bytes.findIndex((byte, i) => byte !== b.bytes?.[i]);
    return `${path} at byte ${at}: ${a.bytes[at]} and ${b.bytes[at]}`;
  }
  return JSON.stringify(a.view) === JSON.stringify(b.view) ? undefined : `${path}: views of different places`;
}

/** How each new object is first reached. */
function pathsOfNew(plan: GraphPlan, inventory: Inventory): string[] {
  const paths: string[] = [];
  const look = (path: string, node: NodePlan): void => {
    for (const [i, value] of node.values.entries()) {
      if (value instanceof NewNode) paths[value.index] ??= joinPath(path, stepOf(node, i));
    }
  };
  for (const [id, node] of plan.known.entries()) look(inventory.nodes[id]!.path, node);
  // In the order in which they were met, so that each has its path before its children ask for it.
  for (const [index, node] of plan.made.entries()) look(paths[index] ?? `new ${index}`, node);
  return paths;
}

function stepOf({ kind, fields }: NodePlan, index: number): string | number {
  if (kind === KIND.object) return fields[index] ?? index;
  if (kind === KIND.map) return `${index % 2 === 0 ? 'key' : 'value'} ${index >> 1}`;
  return kind === KIND.view ? 'buffer' : kind === KIND.date ? 'time' : index;
}

function isSame(a: unknown, b: unknown): boolean {
  if (a instanceof NewNode && b instanceof NewNode) return a.index === b.index;
  return Object.is(a, b);
}

function describe(value: unknown, inventory: Inventory, paths: readonly string[]): string {
  if (value === HOLE) return 'a hole';
  if (value instanceof NewNode) return `the object at ${paths[value.index] ?? `new ${value.index}`}`;
  if (typeof value === 'function') {
    return `the function ${inventory.functionPaths[inventory.functionIds.get(value) ?? -1]}`;
  }
  if (typeof value === 'object' && value !== null) {
    const id = inventory.nodeIds.get(value);
    return `the object at ${(id === undefined ? undefined : inventory.nodes[id]?.path) || 'the root'}`;
  }
  if (typeof value === 'string') return JSON.stringify(value);
  return typeof value === 'bigint' ? `${value}n` : Object.is(value, -0) ? '-0' : String(value);
}
