// A kernel of JavaScript: evaluates the cells that it is sent as Node's REPL does, one after the other, in one global scope.
//
// Descriptor 3 is a socket on which each message is a line of JSON. In: {"code": text, "milliseconds": limit} and {"interrupt": true}. Out: {"ready":
// version} once, then for each cell {"ok": bool, "result": bundle or null}, where a bundle is a result by MIME type. What a cell
// prints goes to the descriptors 1 and 2, stacks of errors included.
(() => {
    'use strict';
    const fs = require('node:fs');
    const inspector = require('node:inspector');
    const { createRequire } = require('node:module');
    const net = require('node:net');
    const util = require('node:util');

    // Evaluation by the inspector allows `await` at the top level, and declaring a name again.
    const session = new inspector.Session();
    session.connect();
    globalThis.require = createRequire(process.cwd() + '/cell.js');

    const send = (message) => {
        let rest = Buffer.from(JSON.stringify(message) + '\n');
        while (rest.length > 0) {
            try {
                rest = rest.subarray(fs.writeSync(3, rest));
            } catch (error) {
                if (error.code !== 'EAGAIN') process.exit(0);
            }
        }
    };

    const post = (method, parameters) =>
        new Promise((resolve, reject) => {
            session.post(method, parameters, (error, answer) => (error ? reject(error) : resolve(answer)));
        });

    // The value itself is on this thread; only the inspector's handle of it comes back.
    const last = {};
    Object.defineProperty(globalThis, '__kernelTake', { value: (value) => { last.value = value; }, enumerable: false });
    const valueOf = async (remote) => {
        if (!('objectId' in remote)) {
            if ('unserializableValue' in remote) return { text: remote.unserializableValue };
            return { value: remote.type === 'undefined' ? undefined : remote.value };
        }
        await post('Runtime.callFunctionOn', {
            objectId: remote.objectId,
            functionDeclaration: 'function() { __kernelTake(this); }',
        });
        return { value: remote.type === 'symbol' ? Object(last.value).valueOf() : last.value };
    };

    const show = (value) => {
        if (value === undefined) return null;
        let text = util.inspect(value);
        try {
            // What JSON can say is said in JSON, as it is for Python.
            const json = JSON.stringify(value);
            if (json !== undefined && (value === null || typeof value !== 'object' || Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype)) {
                text = typeof value === 'string' ? text : json;
            }
        } catch {
            // A circle, or a BigInt: the inspected text is all there is.
        }
        return { 'text/plain': text.toWellFormed() };
    };

    let interrupt = null;
    const run = async (code, milliseconds) => {
        const interrupted = new Promise((resolve) => { interrupt = () => resolve(null); });
        // The interrupt, which comes at the limit, ends what comes back to the event loop, and this what does not.
        const timeout = milliseconds + 500;
        const evaluated = post('Runtime.evaluate', { expression: code, replMode: true, awaitPromise: true, timeout });
        const answer = await Promise.race([evaluated.catch(() => null), interrupted]);
        if (answer === null) {
            process.stderr.write('Error: the execution was interrupted\n');
            return { ok: false, result: null };
        }
        if (answer.exceptionDetails) {
            const { exception, text } = answer.exceptionDetails;
            const description = exception?.description ?? `${text} ${util.inspect(exception?.value)}`;
            // Without the kernel's own frames.
            process.stderr.write(`${description.split(/\n    at Session\.post /, 1)[0]}\n`);
            const missing = /^Error: Cannot find module '([^'.][^']*)'/.exec(description);
            if (missing) {
                process.stderr.write(`The emulator runs code with this machine's ${process.execPath} ${process.version}, which has no ` +
                    `${missing[1]}. The image of NodeLTS pools may have it.\n`);
            }
            return { ok: false, result: null };
        }
        const { value, text } = await valueOf(answer.result);
        return { ok: true, result: text === undefined ? show(value) : { 'text/plain': text } };
    };

    // An error in a timer or a promise that nobody awaits is shown, and the kernel lives on.
    process.on('uncaughtException', (error) => process.stderr.write(`${error?.stack ?? util.inspect(error)}\n`));
    process.on('unhandledRejection', (error) => process.stderr.write(`${error?.stack ?? util.inspect(error)}\n`));

    let buffered = '';
    let turn = Promise.resolve();
    const channel = new net.Socket({ fd: 3, readable: true, writable: false });
    channel.setEncoding('utf8');
    channel.on('data', (text) => {
        const lines = (buffered + text).split('\n');
        buffered = lines.pop();
        for (const line of lines) {
            const message = JSON.parse(line);
            if (message.interrupt) interrupt?.();
            else turn = turn.then(() => run(message.code, message.milliseconds)).then(send);
        }
    });
    channel.on('end', () => process.exit(0));
    channel.on('error', () => process.exit(0));
    send({ ready: process.version });
})();
