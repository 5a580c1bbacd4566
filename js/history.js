// After a page has been loaded anew, the server still knows what its last runs showed: its history,
// searched for this very workflow.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

const RUNS = 16;

/** Every node with the id that the server knows it by: "5", or "5:3" for node 3 within the subgraph node 5. */
export function* nodesWithIds(graph = app.rootGraph ?? app.graph, prefix = "") {
  for (const node of graph?.nodes ?? graph?._nodes ?? []) {
    const id = `${prefix}${node.id}`;
    yield [id, node];
    if (node.subgraph) yield* nodesWithIds(node.subgraph, `${id}:`);
  }
}

/** The node that the server knows by `id`. */
export function nodeById(id) {
  for (const [known, node] of nodesWithIds()) if (known === String(id)) return node;
  return null;
}

// "workflow/node" to {type, output}: what this page has seen, for nodes that undo makes anew
const remembered = new Map();

/** Keep a node's output for the node that may take its place. */
export function remember(node, output) {
  for (const [id, known] of nodesWithIds()) {
    if (known === node) remembered.set(`${workflowId()}/${id}`, { type: node.comfyClass, output });
  }
}

function workflowId() {
  return (app.rootGraph ?? app.graph)?.id;
}

/**
 * Call `give(node, output)` for every node of ours whose last output this page has seen, at once, or
 * the server still has.
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
