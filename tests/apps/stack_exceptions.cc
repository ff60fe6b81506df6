// For test_stack_audit: exceptions through many frames, caught, thrown on and nested, with allocations on the way up (the
// exception object), in destructors while unwinding, and in handlers.
#include <cstdio>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

struct Noisy {
    std::string text;
    explicit Noisy(int n) : text(static_cast<std::size_t>(20 + n % 50), 'x')
    {
    }
    ~Noisy()
    {
        auto copy = std::make_unique<std::string>(text + "unwound");
    }
};

[[gnu::noinline]] static int fall(int depth, unsigned seed)
{
    Noisy noisy(depth);
    if (depth == 0) {
        if (seed % 3 == 0)
            throw std::runtime_error(noisy.text);
        if (seed % 3 == 1)
            throw std::string(noisy.text);
        return 1;
    }
    std::function<int(int)> by_object = [&](int n) { return fall(n, seed * 5 + 1); };
    try {
        return (seed % 2 ? by_object(depth - 1) : fall(depth - 1, seed * 3 + 2)) + 1;
    } catch (const std::string &text) {
        std::vector<std::string> kept(3, text);
        if (depth % 5 == 0)
            throw std::runtime_error(kept.back());
        throw;
    } catch (const std::runtime_error &) {
        if (depth % 7 == 0)
            std::throw_with_nested(std::logic_error("nested"));
        throw;
    }
}

int main(int argc, char **)
{
    int sum = 0;
    for (unsigned round = 0; round < 4000U * static_cast<unsigned>(argc); round++)
        try {
            sum += fall(static_cast<int>(round % 25), round);
        } catch (const std::exception &) {
            sum--;
        } catch (const std::string &) {
            sum -= 2;
        }
    std::printf("%d\n", sum);
}
