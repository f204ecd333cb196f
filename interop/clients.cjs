// Node's `ws` as the client of an echo.

const assert = require('node:assert/strict');
const { randomBytes } = require('node:crypto');
const net = require('node:net');
const { once } = require('node:events');
const { WebSocket, Sender } = require('ws');

const [run, url] = process.argv.slice(2);

// A connection whose first write, the request, has a message behind it.
function createConnection(options) {
  const socket = net.connect(options);
  const write = socket.write;
  socket.write = (request, encoding, done) => {
    socket.write = write;
    const head = Buffer.from(request, encoding);
    assert.ok(head.toString().endsWith('\r\n\r\n'), 'the request is written at once');
    const options = { fin: true, rsv1: false, opcode: 1, mask: true, readOnly: true };
    const frame = Sender.frame(Buffer.from('early'), options);
    return socket.write(Buffer.concat([head, ...frame]), done);
  };
  return socket;
}

// Opens a WebSocket, and returns it with a function that awaits the next message.
async function open(options) {
  const socket = new WebSocket(url, { maxPayload: 32 << 20, ...options });
  const messages = [];
  let wake = () => {};
  socket.on('message', (data, binary) => {
    messages.push(binary ? data : data.toString());
    wake();
  });
  const receive = async () => {
    while (messages.length === 0) await new Promise((resolve) => { wake = resolve; });
    return messages.shift();
  };
  const [[response]] = await Promise.all([once(socket, 'upgrade'), once(socket, 'open')]);
  return { socket, receive, extensions: response.headers['sec-websocket-extensions'] };
}

async function plain(options = { createConnection }) {
  const { socket, receive } = await open(options);
  if (!options.createConnection) socket.send('early');
  assert.equal(await receive(), 'early');
  const large = Buffer.alloc(16 << 20, 'large');
  for (const message of ['text', 'grüß dich', '', Buffer.from([0, 255, 128]), large]) {
    socket.send(message);
    assert.deepEqual(await receive(), message);
  }
  socket.ping('there?');
  const [pong] = await once(socket, 'pong');
  assert.equal(pong.toString(), 'there?');
  socket.close(4000, 'enough');
  const [code] = await once(socket, 'close');
  assert.equal(code, 4000);
  console.log("clients: Node's ws");
}

// The same, from a client that waits for the answer to its handshake.
const patient = () => plain({});

// What a client asks of permessage-deflate, and what the server has to answer.
const OFFERS = [
  [{}, 'permessage-deflate'],
  [{ serverNoContextTakeover: true }, 'permessage-deflate; server_no_context_takeover'],
  [{ clientNoContextTakeover: true }, 'permessage-deflate; client_no_context_takeover'],
  [{ serverMaxWindowBits: 9 }, 'permessage-deflate; server_max_window_bits=9'],
  [{ serverMaxWindowBits: 15 }, 'permessage-deflate; server_max_window_bits=15'],
  [{ clientMaxWindowBits: 9 }, 'permessage-deflate'],
];

async function deflate() {
  // Repeats itself after 4 KiB, which a smaller window does not see.
  const blocks = Buffer.alloc(256 << 10, randomBytes(4096));
  const large = Buffer.alloc(8 << 20, 'large');
  for (const [parameters, answer] of OFFERS) {
    const perMessageDeflate = { threshold: 0, ...parameters };
    const { socket, receive, extensions } = await open({ createConnection, perMessageDeflate });
    assert.equal(extensions, answer);
    // This one is not compressed.
    assert.equal(await receive(), 'early');
    for (const message of ['text', 'text', '', blocks, large, 'last']) {
      socket.send(message);
      assert.deepEqual(await receive(), message);
    }
    const { bytesRead, bytesWritten } = socket._socket;
    assert.ok(bytesRead < 1 << 20 && bytesWritten < 1 << 20, `${bytesRead}, ${bytesWritten}`);
    socket.close(4000, 'enough');
    const [code] = await once(socket, 'close');
    assert.equal(code, 4000);
  }
  console.log("clients: Node's ws, compressed");
}

// Node would end well, too, when nothing is left to wait for.
process.exitCode = 1;
({ plain, patient, deflate })[run]().then(() => { process.exitCode = 0; }, (error) => {
  console.error(error);
  process.exit(1);
});
