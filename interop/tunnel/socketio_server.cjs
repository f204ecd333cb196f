// A server with socket.io: the upstream of a tunnel.

const http = require('node:http');
const { Server } = require('socket.io');

const server = http.createServer();
const io = new Server(server);
io.on('connection', (socket) => {
  socket.on('echo', (value, answer) => answer(value, socket.conn.transport.name));
  socket.on('all', (value) => io.emit('all', value));
  socket.on('leave', () => socket.disconnect());
});
server.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
