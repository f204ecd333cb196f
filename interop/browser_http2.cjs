// Tabs of one browser chat over one connection of HTTP/2, and lose their server.
//
// No step waits for time to pass: each waits for the state that it expects.

const assert = require('node:assert/strict');
const net = require('node:net');
const { once } = require('node:events');
const puppeteer = require('puppeteer-core');
const { recordCloseCodes } = require('./page.cjs');
const { Server } = require('./server.cjs');

const [browserName, executablePath, program, certificate, key, spki] = process.argv.slice(2);

const BROWSERS = {
  chrome: {
    // It trusts this key only. The certificate is checked otherwise.
    args: [`--ignore-certificate-errors-spki-list=${spki}`, '--no-sandbox', '--disable-gpu', '--disable-quic',
      '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  },
  firefox: { acceptInsecureCerts: true },
};

// A tab in the background draws no frames, which puppeteer would wait for.
const POLLING = { polling: 100 };

async function main() {
  let server = await Server.start(program, '127.0.0.1:0', certificate, key);
  const relay = await Relay.start(server.address);
  const url = `https://${relay.address}/?room=tea`;
  const browser = await puppeteer.launch({
    browser: browserName, executablePath, timeout: 60_000, ...BROWSERS[browserName],
  });
  try {
    const ada = await open(browser, url);
    assert.equal(await ada.evaluate(protocol), 'h2', 'the protocol of the page');
    const handshake = browserName === 'chrome' && await watchHandshake(ada);
    const { accepted } = relay;
    await join(ada, 'Ada');
    const grace = await open(browser, url);
    await join(grace, 'Grace');
    await chat(ada, grace, 'Hello, Grace!');
    await chat(grace, ada, 'Hello, Ada!');
    assert.equal(relay.accepted, accepted, 'connections after the page, and after two WebSockets');
    if (handshake) assert.equal(await handshake.status, 200, 'the status of the handshake');
    console.log(`${browserName}: two WebSockets are streams of the connection of their page, in HTTP/2`);

    assert.equal(await server.interrupt(), 0, 'the exit status after ctrl-C');
    for (const page of [ada, grace]) {
      await page.waitForFunction(() => closeCodes.length > 0, POLLING);
      assert.equal(await page.evaluate(() => closeCodes[0]), 1001);
    }
    server = await Server.start(program, server.address, certificate, key);
    for (const page of [ada, grace]) await page.waitForSelector('#connection[data-state=open]');
    await chat(ada, grace, 'Where were we?');
    console.log(`${browserName}: ctrl-C closes with 1001, and both come back to the next server`);

    await ada.close();
    await sees(grace, 'Ada left.');
    console.log(`${browserName}: closing the tab leaves the room`);
  } finally {
    await browser.close();
    await server.kill();
    relay.stop();
  }
}

// Counts connections on their way to the server.
class Relay {
  static async start(target) {
    const [host, port] = target.split(':');
    const relay = new Relay();
    relay.accepted = 0;
    relay.listener = net.createServer((client) => {
      relay.accepted += 1;
      const server = net.connect({ host, port, noDelay: true });
      client.setNoDelay().pipe(server).pipe(client);
      client.on('error', () => server.destroy());
      server.on('error', () => client.destroy());
    });
    relay.listener.listen(0, '127.0.0.1');
    await once(relay.listener, 'listening');
    relay.address = `127.0.0.1:${relay.listener.address().port}`;
    return relay;
  }

  stop() {
    this.listener.close();
  }
}

async function open(browser, url) {
  const page = await browser.newPage();
  page.setDefaultTimeout(30_000);
  page.on('pageerror', (error) => { throw error; });
  await page.evaluateOnNewDocument(recordCloseCodes);
  await page.goto(url);
  return page;
}

// Runs in a page.
function protocol() {
  return performance.getEntriesByType('navigation')[0].nextHopProtocol;
}

// Chromium tells the status of the page's next handshake.
async function watchHandshake(page) {
  const session = await page.createCDPSession();
  await session.send('Network.enable');
  const status = new Promise((resolve) => {
    session.once('Network.webSocketHandshakeResponseReceived', ({ response }) => resolve(response.status));
  });
  return { status };
}

async function join(page, name) {
  await page.bringToFront();
  // The field has the focus already.
  await page.keyboard.type(name);
  await page.keyboard.press('Enter');
  await page.waitForSelector('#connection[data-state=open]');
}

async function chat(from, to, words) {
  await from.bringToFront();
  await from.type('#text', words);
  await from.keyboard.press('Enter');
  await sees(to, words);
}

const sees = (page, words) => page.waitForFunction(
  (words) => document.getElementById('log').innerText.includes(words), POLLING, words);

main().catch((error) => {
  console.error('FAILED:', error);
  // A server may still be running.
  process.exit(1);
});
