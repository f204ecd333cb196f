// Node's `ws` as the client of an echo.

const assert = require('node:assert/strict');
const net = require('node:net');
const { once } = require('node:events');
const { WebSocket, Sender } = require('ws');

const [url] = process.argv.slice(2);

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

async function main() {
  const socket = new WebSocket(url, { createConnection, maxPayload: 32 << 20 });
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
  await once(socket, 'open');
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

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
