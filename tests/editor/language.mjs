// The editor in another language; prints one line of JSON with the names of a node and its parts.
// Usage: node language.mjs JOB, where JOB is {url, chromium, packages, screenshots, locale, workflow, nodes: [ids]}
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { launch, openEditor } from './chromium.mjs';

const job = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const errors = [],
  browser = await launch(job);
try {
  const page = await openEditor(browser, job, errors);
  const found = await page.evaluate(async workflow => {
    await app.loadGraphData(workflow);
    const node = LiteGraph.createNode('DiffEditMask');
    app.graph.add(node);
    node.pos = [-500, 100];
    const { word } = await import('/extensions/semantic-edit/words.js');
    const phrase = (key, ...values) => ({ key, values, text: 'English' });
    node.semanticEditView.show({
      report: [
        {
          text: 'English',
          says: [phrase('mask_covers', '24.2 %'), 'O-BELM', phrase('from_tomorrow')],
          warnings: [phrase('same_texts')],
        },
      ],
    });
    const shown = node.semanticEditView;
    const made = {
      report: shown.text.textContent,
      warning: shown.warning.textContent,
      label: shown.widget.label,
      title: node.title,
      description: node.constructor.nodeData?.description,
      word: word('threshold'),
      inputs: Object.fromEntries(node.inputs.map(input => [input.name, input.localized_name ?? input.label])),
      outputs: Object.fromEntries(node.outputs.map(output => [output.name, output.localized_name ?? output.label])),
      widgets: Object.fromEntries(node.widgets.map(widget => [widget.name, widget.label])),
    };
    await new Promise(resolve => setTimeout(resolve, 500));
    return made;
  }, job.workflow);
  await page.screenshot({ path: join(job.screenshots, `language-${job.locale}.png`) });
  found.api = await page.evaluate(async () => {
    app.graph.remove(app.graph.nodes.find(node => node.pos[0] === -500));
    return (await app.graphToPrompt()).output;
  });
  console.log(JSON.stringify({ ...found, errors }));
} finally {
  await browser.close();
}
