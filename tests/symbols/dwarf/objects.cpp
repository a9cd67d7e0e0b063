// Classes, references and namespaces, as C++ hands them to functions.

extern "C" {
#define _Noreturn
#define restrict
typedef unsigned uint32_t;
void print_hex(const char *name, uint32_t value);
[[noreturn]] void leave(void);
}

#define PROBED __attribute__((noinline, noclone))

volatile uint32_t sink;

struct Base {
    uint32_t id;
    short kind;
};

namespace net {

enum class State : unsigned char { Idle, Open = 3 };

struct Counted { // has a destructor: it is passed by its address
    uint32_t value;
    PROBED ~Counted() { sink = value; }
};

class Socket : public Base {
public:
    Socket(uint32_t id, State state) : Base{id, 7}, state(state), peer(nullptr) {}
    PROBED uint32_t send(const Base &to, uint32_t length);
    State state;
    Socket *peer;
};

PROBED uint32_t Socket::send(const Base &to, uint32_t length)
{
    sink = to.id;
    return id + to.id + length + static_cast<uint32_t>(state);
}

PROBED uint32_t take(Counted counted, uint32_t factor, Socket &socket)
{
    return counted.value * factor + socket.kind;
}

} // namespace net

extern "C" [[noreturn]] void firmware_main(uint32_t iterations)
{
    uint32_t total = 0;
    net::Socket first(100, net::State::Open), second(200, net::State::Idle);
    first.peer = &second;
    for (uint32_t i = 0; i < iterations; i++) {
        total += first.send(second, i);
        total += net::take(net::Counted{i + 40}, 3, first);
    }
    print_hex("total", total);
    leave();
}
