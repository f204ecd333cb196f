// Tabs chat in two rooms, on wide and on narrow screens, lose their server twice, and a page of
// another origin is kept out.
//
// No step waits for time to pass: each waits for the state that it expects.

const assert = require('node:assert/strict');
const http = require('node:http');
const { once } = require('node:events');
const { chromium } = require('playwright-core');
const { recordCloseCodes } = require('./page.cjs');
const { Server } = require('./server.cjs');

const [program, executablePath, tunnel, screenshot] = process.argv.slice(2);
const SIZE = { width: 1000, height: 640 };
const PHONE = { width: 320, height: 568 };
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'];

// The longest names, and the widest.
const ADA = 'Augusta Ada of King and Lovelace';
const GRACE = 'W'.repeat(32);
const ROOM = 'M'.repeat(32);
const ROOMS = 100;

async function main() {
  let server = await Server.start(program, '127.0.0.1:0');
  const front = tunnel ? await Server.start(tunnel, '127.0.0.1:0', `http://${server.address}`) : server;
  // Chromium makes a profile for this run and removes it.
  const browser = await chromium.launch({ executablePath, args: FLAGS });
  try {
    const context = await browser.newContext({ viewport: SIZE, reducedMotion: 'reduce' });
    await context.addInitScript(recordCloseCodes);
    context.setDefaultTimeout(30_000);

    if (screenshot) {
      await picture(context, front, screenshot);
      console.log(`browser: ${screenshot} is made`);
    }

    const ada = await join(context, `http://${front.address}/?room=${ROOM}`, ADA);
    const grace = await join(context, ada.url(), GRACE);
    await chat(ada, grace);
    console.log('browser: two tabs join by keyboard and exchange messages');

    await text(ada, grace);
    console.log('browser: what people write is text, not markup');

    const alan = await join(context, `http://${front.address}/`, 'Alan');
    await twoRooms(ada, alan);
    console.log('browser: two rooms do not hear each other');

    await namesake(context, ada, grace);
    console.log('browser: the same name gets a number');

    await phone(context, grace);
    console.log(`browser: everything fits on a phone of ${PHONE.width} px`);

    await limits(context, front, [ada, alan]);
    console.log('browser: rooms are limited in their number and in their names');

    await stranger(context, front);
    console.log('browser: a page of another origin is rejected with 403');

    const pages = [ada, grace, alan];
    await grace.setViewportSize(PHONE);
    assert.equal(await server.interrupt(), 0, 'the exit status after ctrl-C');
    await Promise.all(pages.map((page) => lost(page, 1001)));
    await sees(grace, 'The server moved this page on. It reconnects by itself.');
    await grace.locator('#connection[data-state=waiting]').waitFor();
    await fits(grace);
    server = await Server.start(program, server.address);
    await Promise.all(pages.map(back));
    await say(ada, 'Where were we?');
    await sees(grace, 'Where were we?');
    console.log('browser: ctrl-C closes with 1001, and all come back to the next server');

    await server.kill();
    await Promise.all(pages.map((page) => lost(page, 1006)));
    server = await Server.start(program, server.address);
    await Promise.all(pages.map(back));
    await say(grace, 'Once more.');
    await sees(ada, 'Once more.');
    await hearsNot(alan, ['Where were we?', 'Once more.']);
    console.log('browser: all come back after a server was killed, each to their room');

    await ada.close();
    await sees(grace, `${ADA} left.`);
    console.log('browser: closing the tab leaves the room');
  } finally {
    await browser.close();
    await server.kill();
    await front.kill();
  }
}

async function join(context, url, name) {
  const page = await context.newPage();
  page.on('pageerror', (error) => { throw error; });
  await page.goto(url);
  // The field has the focus already.
  await page.keyboard.type(name);
  await page.keyboard.press('Enter');
  await back(page);
  return page;
}

async function chat(ada, grace) {
  for (const page of [ada, grace]) {
    await page.locator('#here li').nth(1).waitFor();
    const here = await page.locator('#here').innerText();
    assert.ok(here.includes(ADA) && here.includes(GRACE), here);
    assert.equal(await page.locator('h1').innerText(), ROOM);
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
  assert.equal(await grace.title(), `${ROOM} · Chat`);
}

async function twoRooms(ada, alan) {
  assert.equal(new URL(alan.url()).search, '?room=lobby');
  assert.equal(await alan.locator('#here li').count(), 1);
  await say(ada, 'Is anybody else here?');
  await sees(ada, 'Is anybody else here?');
  // A page gets its messages in order, so this one would come after those of the other room.
  await say(alan, 'Nobody here.');
  await sees(alan, 'Nobody here.');
  await hearsNot(alan, ['Is anybody else here?', ADA, GRACE]);
  await say(ada, 'Nobody.');
  await sees(ada, 'Nobody.');
  await hearsNot(ada, ['Nobody here.', 'Alan']);
}

async function namesake(context, ada, grace) {
  const second = await join(context, grace.url(), GRACE);
  await say(second, 'x'.repeat(200));
  await sees(grace, 'x'.repeat(200));
  assert.equal(await grace.locator('.by b').last().innerText(), `${GRACE} (2)`);
  await second.close();
  await sees(ada, `${GRACE} (2) left.`);
}

async function phone(context, page) {
  const joining = await context.newPage();
  await joining.setViewportSize(PHONE);
  await joining.goto(page.url());
  await isOnScreen(joining, ['#name', '#where', '#join button']);
  await fits(joining);
  await joining.close();

  await page.setViewportSize(PHONE);
  await isOnScreen(page, ['h1', '#state', '#text', '#send', '#names', '#leave', '#log']);
  await fits(page);
  await page.locator('#names').click();
  await isOnScreen(page, ['#here li:first-child', '#here li:last-child', '#text', '#send']);
  await fits(page);
  // The log follows at the next frame.
  await page.waitForFunction(isAtBottom);
  await page.locator('#names').click();
  await page.locator('#here').waitFor({ state: 'hidden' });
  await page.setViewportSize(SIZE);
}

async function isOnScreen(page, parts) {
  for (const part of parts) {
    const box = await page.locator(part).boundingBox();
    assert.ok(box && box.x >= 0 && box.x + box.width <= PHONE.width, `${part} is beside the screen`);
    assert.ok(box.y >= 0 && box.y + box.height <= PHONE.height, `${part} is below the screen`);
  }
}

// Nothing is wider than the screen, or than the box around it.
async function fits(page) {
  const wide = await page.evaluate(() => [...document.querySelectorAll('html, body, body *')]
    .filter((it) => it.checkVisibility() && !it.closest('.unseen, input, textarea'))
    .filter((it) => {
      const { left, right } = it.getBoundingClientRect();
      const isCut = it.clientWidth > 0 && it.scrollWidth > it.clientWidth;
      return left < 0 || right > innerWidth || isCut;
    })
    .map((it) => it.outerHTML.slice(0, 100)));
  assert.deepEqual(wide, []);
}

// Runs in a page: the newest message is in view.
function isAtBottom() {
  const log = document.getElementById('log');
  return log.scrollHeight - log.scrollTop - log.clientHeight < 1;
}

async function limits(context, front, others) {
  const page = await context.newPage();
  const tooLong = 'x'.repeat(33);
  await page.goto(`http://${front.address}/?room=${tooLong}`);
  await page.keyboard.type('Edsger');
  await page.keyboard.press('Enter');
  assert.match(await page.locator('#trouble:not(:empty)').innerText(), /1 to 32 characters/);
  assert.deepEqual(await handshake(front, tooLong), [
    400, 'the name of a room has 1 to 32 characters\n']);
  // The name is decoded before it is counted: 32 characters, 96 bytes, 288 in the path.
  assert.deepEqual(await handshake(front, encodeURIComponent('語'.repeat(32))), [101, '']);

  const crowd = await context.newPage();
  await crowd.goto(`http://${front.address}/`);
  const ends = await crowd.evaluate(fill, ROOMS);
  const entered = ends.filter((end) => end === 'welcome').length;
  assert.equal(entered, ROOMS - others.length, 'rooms that can be made beside those in use');
  assert.deepEqual([...new Set(ends)], ['welcome', '1013 there are too many rooms']);

  await page.locator('#where').fill('one more');
  await page.locator('#where').press('Enter');
  await page.locator('#trouble', { hasText: 'There are too many rooms.' }).waitFor();
  // Rooms without people make place for others.
  await crowd.close();
  await back(page);
  assert.equal(await page.locator('h1').innerText(), 'one more');
  await page.close();
}

// Runs in a page: makes that many rooms, and returns the server's answers.
async function fill(rooms) {
  const answers = [];
  for (let room = 0; room < rooms; room += 1) {
    const socket = new WebSocket(`ws://${location.host}/rooms/${room}`);
    socket.onopen = () => socket.send(JSON.stringify({ type: 'hello', name: 'X' }));
    answers.push(await new Promise((resolve) => {
      socket.onmessage = ({ data }) => resolve(JSON.parse(data).type);
      socket.onclose = ({ code, reason }) => resolve(`${code} ${reason}`);
    }));
  }
  return answers;
}

// The status and the body of an opening handshake.
async function handshake(front, room) {
  const headers = {
    connection: 'Upgrade', upgrade: 'websocket',
    'sec-websocket-version': '13', 'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
  };
  const request = http.get(`http://${front.address}/rooms/${room}`, { headers });
  request.once('upgrade', (response, socket) => {
    socket.destroy();
    request.emit('response', response);
  });
  const [response] = await once(request, 'response');
  const { statusCode } = response;
  const body = statusCode === 101 ? [] : await response.toArray();
  return [statusCode, Buffer.concat(body).toString()];
}

async function picture(context, front, path) {
  const url = `http://${front.address}/?room=${encodeURIComponent('tea room')}`;
  const ada = await join(context, url, 'Ada');
  const grace = await join(context, url, 'Grace');
  await say(ada, 'Hello, Grace!');
  await sees(grace, 'Hello, Grace!');
  await say(grace, 'Hello, Ada. And if the server goes away?');
  await sees(ada, 'And if the server goes away?');
  await say(ada, 'Then it says so with close code 1001.');
  await say(ada, 'We wait a little, try again, and go on where we were.');
  await sees(grace, 'We wait a little, try again, and go on where we were.');
  await grace.bringToFront();
  await grace.locator('#text').fill('Let us see …');
  await grace.screenshot({ path });
  await Promise.all([ada, grace].map((page) => page.close()));
}

async function stranger(context, front) {
  const url = `ws://${front.address}/rooms/lobby`;
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
  // Only the console says why, not the page.
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

// The page shows none of these, neither as a message nor as a name.
async function hearsNot(page, words) {
  const shown = await page.locator('#room').innerText();
  for (const word of words) assert.ok(!shown.includes(word), `${word} is heard in the other room`);
}

async function back(page) {
  await page.locator('#connection[data-state=open]').waitFor();
  await page.evaluate(() => closeCodes.splice(0));
}

// The page's connection was closed with this code. Later attempts have codes of their own.
async function lost(page, code) {
  await page.waitForFunction(() => closeCodes.length > 0);
  assert.equal(await page.evaluate(() => closeCodes[0]), code);
}

main().catch((error) => {
  console.error('FAILED:', error);
  // A server may still be running.
  process.exit(1);
});
