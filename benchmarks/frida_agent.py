"""Runs within the Python of an ARM process, which has Frida: times a function under Frida's mechanisms.

    frida_agent.py CALLS LOOP FUNCTION

LOOP and FUNCTION are A32 code in hexadecimal. Prints one JSON object: name -> [seconds, hits or null].
"""

import json
import sys

import frida

SCRIPT = """
const kept = []; // memory is freed with the last reference to it
function code(hex) {
    const words = hex.match(/.{8}/g).map(word => parseInt(word, 16));
    const place = Memory.alloc(Process.pageSize);
    kept.push(place);
    Memory.patchCode(place, words.length * 4, to => words.forEach((word, i) => to.add(4 * i).writeU32(word)));
    return place;
}
const counter = Memory.alloc(4);
// ldr r2, [pc, #DISTANCE]; ldr r1, [r2]; add r1, r1, #1; str r1, [r2]
const count = distance => 'e59f20' + ('0' + distance.toString(16)).slice(-2) + 'e5921000' + 'e2811001' + 'e5821000';
const address = ('00000000' + counter.toUInt32().toString(16)).slice(-8);
rpc.exports = {
    measure(calls, loopCode, functionCode) {
        const result = {};
        const loop = new NativeFunction(code(loopCode), 'uint32', ['uint32', 'pointer']);
        function time(name, share, plant) {
            const target = code(functionCode);
            const number = Math.max(1, Math.floor(calls / share));
            counter.writeU32(0);
            const hits = plant === null ? () => null : plant(target);
            Interceptor.flush();
            loop(Math.min(number, 1000), target);
            counter.writeU32(0);
            const first = hits();
            const begin = Date.now();
            loop(number, target);
            const seconds = (Date.now() - begin) / 1000;
            result[name] = [seconds / number, number, hits() === null ? null : hits() - first];
            Interceptor.detachAll();
        }
        time('plain', 1, null);
        time('native onEnter', 20, target => {
            Interceptor.attach(target, { onEnter: code(count(12) + 'e12fff1e' + address) });
            return () => counter.readU32();
        });
        time('JavaScript onEnter', 100, target => {
            let seen = 0;
            Interceptor.attach(target, { onEnter() { seen++; } });
            return () => seen;
        });
        time('replaceFast', 1, target => {
            const copy = code(count(8 + functionCode.length / 2) + functionCode + address);
            Interceptor.replaceFast(target, copy);
            return () => counter.readU32();
        });
        return result;
    }
};
"""


def main() -> None:
    calls, loop, function = sys.argv[1:]
    script = frida.attach(0).create_script(SCRIPT)
    script.load()
    print(json.dumps(script.exports_sync.measure(int(calls), loop, function)))


if __name__ == "__main__":
    main()
