// Two tabs chat, lose their server twice, and a page from elsewhere is kept out.
//
// Nothing here waits for time to pass: each step waits for what it expects to see.

const assert = require('node:assert/strict');
const http = require('node:http');
const { once } = require('node:events');
const { chromium } = require('playwright-core');
const { Server } = require('./server.cjs');

const [program, executablePath, screenshot] = process.argv.slice(2);
const SIZE = { width: 960, height: 600 };
const PHONE = { width: 360, height: 640 };
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'];

async function main() {
  let server = await Server.start(program, '127.0.0.1:0');
  // A profile of its own, which is removed with it.
  const browser = await chromium.launch({ executablePath, args: FLAGS });
  try {
    const context = await browser.newContext({ viewport: SIZE, reducedMotion: 'reduce' });
    context.setDefaultTimeout(30_000);
    const ada = await join(context, server, 'Ada');
    const grace = await join(context, server, 'Grace');
    await chat(ada, grace);
    console.log('browser: two tabs join by keyboard and exchange messages');

    if (screenshot) {
      await picture(ada, grace, screenshot);
      console.log(`browser: ${screenshot} is made`);
    }

    await text(ada, grace);
    console.log('browser: what people write is text, not markup');

    await phone(grace);
    console.log('browser: everything fits on a phone');

    await stranger(context, server);
    console.log('browser: a page of another origin is refused with 403');

    assert.equal(await server.interrupt(), 0, 'the exit status after ctrl-c');
    await Promise.all([ada, grace].map((page) => lost(page, 1001)));
    server = await Server.start(program, server.address);
    await Promise.all([ada, grace].map(back));
    await say(ada, 'Where were we?');
    await sees(grace, 'Where were we?');
    console.log('browser: ctrl-c closes with 1001, and both come back to the next server');

    await server.kill();
    await Promise.all([ada, grace].map((page) => lost(page, 1006)));
    server = await Server.start(program, server.address);
    await Promise.all([ada, grace].map(back));
    await say(grace, 'Once more.');
    await sees(ada, 'Once more.');
    console.log('browser: a server that is killed is come back to as well');

    await ada.close();
    await sees(grace, 'Ada left.');
    console.log('browser: who closes the tab leaves');
  } finally {
    await browser.close();
    await server.kill();
  }
}

async function join(context, server, name) {
  const page = await context.newPage();
  page.on('pageerror', (error) => { throw error; });
  await page.goto(`http://${server.address}/`);
  // The field has the focus already.
  await page.keyboard.type(name);
  await page.keyboard.press('Enter');
  await back(page);
  return page;
}

async function chat(ada, grace) {
  for (const page of [ada, grace]) {
    await page.locator('#here li').nth(1).waitFor();
    assert.match((await page.locator('#here').innerText()), /Ada[^]*Grace/);
  }
  await say(ada, 'Hello, Grace!');
  await sees(grace, 'Hello, Grace!');
  await sees(ada, 'Hello, Grace!');
  await say(grace, 'Hello, Ada. This page needs no build and no network.');
  await sees(ada, 'Hello, Ada. This page needs no build and no network.');
}

async function text(ada, grace) {
  const markup = '<img src=x onerror="document.title = 1"> & <b>bold</b>';
  await say(ada, markup);
  await sees(grace, markup);
  assert.equal(await grace.locator('#log img, #log .message b').count(), 0);
  assert.equal(await grace.title(), 'Chat');
}

async function phone(page) {
  await page.setViewportSize(PHONE);
  for (const part of ['#text', '#send', '#here', '#leave', '#log']) {
    const box = await page.locator(part).boundingBox();
    assert.ok(box && box.x >= 0 && box.x + box.width <= PHONE.width, `${part} is beside the screen`);
    assert.ok(box.y >= 0 && box.y + box.height <= PHONE.height, `${part} is below the screen`);
  }
  await page.setViewportSize(SIZE);
}

async function picture(ada, grace, path) {
  await say(grace, 'And if the server goes away?');
  await sees(ada, 'And if the server goes away?');
  await say(ada, 'Then it says so with close code 1001.');
  await say(ada, 'We wait a little, try again, and go on where we were.');
  await sees(grace, 'We wait a little, try again, and go on where we were.');
  await grace.bringToFront();
  await grace.locator('#text').fill('Let us see …');
  await grace.screenshot({ path });
  await grace.locator('#text').fill('');
}

async function stranger(context, server) {
  const url = `ws://${server.address}/chat`;
  const elsewhere = http.createServer((_, response) => {
    response.setHeader('content-type', 'text/html');
    response.end(`<p id="end"></p><script>
      const socket = new WebSocket(${JSON.stringify(url)});
      socket.onopen = () => { document.getElementById('end').textContent = 'open'; };
      socket.onclose = ({ code }) => { document.getElementById('end').textContent = code; };
    </script>`);
  });
  elsewhere.listen(0, '127.0.0.1');
  await once(elsewhere, 'listening');
  const page = await context.newPage();
  // The page is not told why, the console is.
  const log = page.waitForEvent('console', (entry) => entry.text().includes(url));
  await page.goto(`http://127.0.0.1:${elsewhere.address().port}/`);
  assert.match((await log).text(), /Unexpected response code: 403/);
  const end = page.locator('#end:not(:empty)');
  assert.equal(await end.innerText(), '1006');
  await page.close();
  elsewhere.close();
  elsewhere.closeAllConnections();
}

async function say(page, words) {
  await page.locator('#text').fill(words);
  await page.locator('#text').press('Enter');
}

const sees = (page, words) => page.locator('#log p', { hasText: words }).last().waitFor();

const back = (page) => page.locator('#connection[data-state=open]').waitFor();

async function lost(page, code) {
  await page.locator(`#connection[data-close-code="${code}"]`).waitFor();
}

main().catch((error) => {
  console.error('FAILED:', error);
  // Servers may still listen.
  process.exit(1);
});
