// A page of a Vite server behind a tunnel, in Chromium: it is changed while it is shown, and its server is
// restarted.
//
// No step waits for time to pass: each waits for the state that it expects.

const assert = require('node:assert/strict');
const fs = require('node:fs/promises');
const path = require('node:path');
const { pathToFileURL } = require('node:url');
const { chromium } = require('playwright-core');
const { Server } = require('../server.cjs');

const [program, executablePath, directory] = process.argv.slice(2);
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const ok = (fact) => console.log(`ok      vite: ${fact}`);

const FILES = {
  'index.html': '<!doctype html><title>Vite</title><h1></h1><script type="module" src="/main.js"></script>',
  'main.js': `
    import { words } from './words.js';
    import './style.css';
    const show = (words) => { document.querySelector('h1').textContent = words; };
    show(words);
    import.meta.hot.accept('./words.js', (changed) => show(changed.words));
  `,
  'words.js': 'export const words = "before";',
  'style.css': 'h1 { color: rgb(1, 2, 3); }',
};
const write = (name, text) => fs.writeFile(path.join(directory, name), text);

async function vite(port) {
  // An import does not look where `require` does.
  const { createServer } = await import(pathToFileURL(require.resolve('vite')));
  const server = await createServer({
    root: directory, configFile: false, cacheDir: path.join(directory, 'cache'), logLevel: 'error',
    server: { host: '127.0.0.1', port, strictPort: port !== 0 },
  });
  await server.listen();
  while (!server.watcher.getWatched()[directory]?.includes('words.js')) {
    await new Promise(setImmediate);
  }
  return server;
}

async function main() {
  for (const [name, text] of Object.entries(FILES)) await write(name, text);
  let server = await vite(0);
  const { port } = server.httpServer.address();
  const tunnel = await Server.start(program, '127.0.0.1:0', `http://127.0.0.1:${port}`);
  const browser = await chromium.launch({ executablePath, args: FLAGS });
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(30_000);
    page.on('pageerror', (error) => { throw error; });
    const sockets = [];
    page.on('websocket', (socket) => sockets.push(socket));
    const connected = () => said(page, '[vite] connected.');
    await Promise.all([connected(), page.goto(`http://${tunnel.address}/`)]);
    await shows(page, 'before');
    // Vite's page would otherwise go to its server past the tunnel.
    assert.equal(sockets.length, 1);
    assert.equal(new URL(sockets[0].url()).host, tunnel.address);
    ok('the page connects through the tunnel');

    await page.evaluate(() => { window.marked = true; });
    await write('words.js', 'export const words = "after";');
    await shows(page, 'after');
    await write('style.css', 'h1 { color: rgb(4, 5, 6); }');
    await page.waitForFunction(() => getComputedStyle(document.querySelector('h1')).color === 'rgb(4, 5, 6)');
    assert.equal(await page.evaluate(() => window.marked), true, 'the page was not loaded again');
    assert.equal(sockets.length, 1);
    ok('the page shows a changed module and a changed style, and is not loaded again');

    await Promise.all([said(page, 'server connection lost'), server.close()]);
    await write('words.js', 'export const words = "restarted";');
    const again = connected();
    server = await vite(port);
    await again;
    await shows(page, 'restarted');
    assert.equal(await page.evaluate(() => window.marked), undefined, 'the page was loaded again');
    await write('words.js', 'export const words = "at last";');
    await shows(page, 'at last');
    for (const socket of sockets) assert.equal(new URL(socket.url()).host, tunnel.address);
    ok('the page finds its server again after a restart');
  } finally {
    await browser.close();
    await server.close();
    await tunnel.kill();
  }
}

const shows = (page, words) => page.waitForFunction(
  (words) => document.querySelector('h1').textContent === words, words);

const said = (page, words) => page.waitForEvent('console', (line) => line.text().includes(words));

// Node would end well, too, when nothing is left to wait for.
process.exitCode = 1;
main().then(() => process.exit(0), (error) => {
  console.error('FAILED:', error);
  process.exit(1);
});
