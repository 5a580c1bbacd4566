// Restores the last outputs after the page is reloaded, from the runs of this workflow in the server's
// history.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

const RUNS = 16;

/** Every node with its id on the server: "5", or "5:3" for node 3 within the subgraph node 5. */
export function* nodesWithIds(graph = app.rootGraph ?? app.graph, prefix = "") {
  for (const node of graph?.nodes ?? graph?._nodes ?? []) {
    const id = `${prefix}${node.id}`;
    yield [id, node];
    if (node.subgraph) yield* nodesWithIds(node.subgraph, `${id}:`);
  }
}

/** The node whose id on the server is `id`. */
export function nodeById(id) {
  for (const [known, node] of nodesWithIds()) if (known === String(id)) return node;
  return null;
}

// "workflow/node" to {type, output}: outputs of this page, for nodes that undo recreates
const remembered = new Map();

/** Store a node's output for a node that undo may create in its place. */
export function remember(node, output) {
  for (const [id, known] of nodesWithIds()) {
    if (known === node) remembered.set(`${workflowId()}/${id}`, { type: node.comfyClass, output });
  }
}

function workflowId() {
  return (app.rootGraph ?? app.graph)?.id;
}

/**
 * Call `give(node, output)` for every node of the pack with a stored last output, at once, or with one
 * in the server's history.
 */
export async function recall(isOurs, give) {
  const workflow = workflowId(),
    wanted = new Map([...nodesWithIds()].filter(([, node]) => isOurs(node)));
  for (const [id, node] of wanted) {
    const { type, output } = remembered.get(`${workflow}/${id}`) ?? {};
    if (!output || type !== node.comfyClass) continue;
    wanted.delete(id);
    give(node, output);
  }
  if (!workflow || !wanted.size) return;
  const answer = await api.fetchApi(`/history?max_items=${RUNS}`);
  if (!answer.ok) return;
  const runs = Object.values(await answer.json()).filter(
    run => run.prompt?.[3]?.extra_pnginfo?.workflow?.id === workflow,
  );
  runs.sort((a, b) => b.prompt[0] - a.prompt[0]);
  for (const run of runs) {
    for (const [id, node] of wanted) {
      const output = run.outputs?.[id];
      if (!output || run.prompt[2]?.[id]?.class_type !== node.comfyClass) continue;
      wanted.delete(id);
      give(node, output);
    }
  }
}
