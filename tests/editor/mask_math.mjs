// Usage: node mask_math.mjs JS_FOLDER CASES: prints the browser's mask for each {heat, threshold,
// grow}.
import { readFileSync } from 'node:fs';

// The module has no imports and is run from its text, because older versions of Node treat a .js file
// without a package.json as CommonJS.
const source = readFileSync(`${process.argv[2]}/mask_math.js`, 'utf8');
const { cellPath, coverage, maskOf, readHeat } = await import(
  `data:text/javascript;base64,${Buffer.from(source).toString('base64')}`
);
const answers = JSON.parse(readFileSync(process.argv[3], 'utf8')).map(({ heat, threshold, grow }) => {
  const cells = maskOf(readHeat(heat), threshold, grow);
  return {
    cells: [...cells],
    coverage: coverage(cells),
    path: cellPath(heat.width, heat.height, cell => cells[cell] === 1),
  };
});
console.log(JSON.stringify(answers));
