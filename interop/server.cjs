// An example that a script may stop and start again.

const { once } = require('node:events');
const { spawn } = require('node:child_process');
const { createInterface } = require('node:readline');

class Server {
  // Resolves once the program says that it listens.
  static async start(program, ...args) {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = once(child, 'exit');
    process.once('exit', () => child.kill('SIGKILL'));
    for await (const line of createInterface({ input: child.stdout })) {
      const listening = line.match(/^listening on https?:\/\/(.+)$/);
      if (listening) {
        // What it prints later is not needed, but has to be taken.
        child.stdout.resume();
        return new Server(child, exited, listening[1]);
      }
    }
    throw new Error(`${program} ended before it listened`);
  }

  constructor(child, exited, address) {
    Object.assign(this, { child, exited, address });
  }

  // Ctrl-C; returns the exit status.
  async interrupt() {
    this.child.kill('SIGINT');
    const [status] = await this.exited;
    return status;
  }

  async kill() {
    this.child.kill('SIGKILL');
    await this.exited;
  }
}

module.exports = { Server };
