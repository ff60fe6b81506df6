// brainmm.hpp: what the standard wants of an allocator and of a memory resource, for every standard from C++11 on.
#include "tests/plain.h"

#include <climits>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "brainmm/brainmm.hpp"

struct alignas(64) line {
    int value;
};
struct alignas(4096) page {
    int value;
};
static_assert(sizeof(line) == 64 && sizeof(page) == 4096, "arrays keep them aligned");

template <typename T> using traits = std::allocator_traits<brainmm::allocator<T>>;
static_assert(traits<int>::is_always_equal::value || __cplusplus < 201703L, "no state");
static_assert(traits<int>::propagate_on_container_move_assignment::value, "a move takes the memory over");
static_assert(std::is_empty<brainmm::allocator<int>>::value, "no room in a container");
static_assert(std::is_same<traits<int>::rebind_alloc<line>, brainmm::allocator<line>>::value, "rebind");
static_assert(std::is_same<traits<void>::pointer, void *>::value, "of no type as well");
static_assert(std::is_nothrow_default_constructible<brainmm::allocator<int>>::value, "nothing to fail");
static_assert(std::is_nothrow_constructible<brainmm::allocator<int>, const brainmm::allocator<line> &>::value,
              "nor here");
static_assert(sizeof(brainmm::unique_ptr<char[]>) == sizeof(char *), "no room in a unique_ptr");
static_assert(std::is_nothrow_move_assignable<std::vector<int, brainmm::allocator<int>>>::value,
              "so it throws nothing");

template <typename T> static bool is_aligned(const T &object)
{
    return reinterpret_cast<std::uintptr_t>(&object) % alignof(T) == 0;
}

// Whether the object lies in a block of ours: one of libc's would not be known.
template <typename T> static bool is_ours(T *block)
{
    return bmm_usable_size(block) >= sizeof(T);
}

PLAIN_TEST(vectors)
{
    std::vector<int, brainmm::allocator<int>> numbers;
    for (int i = 0; i < 100000; i++)
        numbers.push_back(i);
    PLAIN_CHECK(numbers[77777] == 77777 && is_ours(numbers.data()));
    std::vector<bool, brainmm::allocator<bool>> bits(1000, true);
    bits.resize(5000);
    PLAIN_CHECK(bits[999] && !bits[1000]);
    std::vector<std::vector<line, brainmm::allocator<line>>> rows(10);
    for (int i = 0; i < 1000; i++) {
        rows[static_cast<std::size_t>(i % 10)].push_back(line{ i });
        PLAIN_CHECK(is_aligned(rows[static_cast<std::size_t>(i % 10)].back()));
    }
    std::vector<page, brainmm::allocator<page>> pages(3);
    PLAIN_CHECK(is_aligned(pages[0]) && is_aligned(pages[2]));
}

PLAIN_TEST(strings)
{
    using string = std::basic_string<char, std::char_traits<char>, brainmm::allocator<char>>;
    string text("short"), copy;
    for (int i = 0; i < 1000; i++)
        text += "and longer";
    copy = text;
    PLAIN_CHECK(copy == text && copy.size() == 10005 && is_ours(&copy[0]));
    string moved(std::move(copy));
    PLAIN_CHECK(moved == text);
}

PLAIN_TEST(maps_and_sets)
{
    using pair = std::pair<const int, line>;
    std::map<int, line, std::less<int>, brainmm::allocator<pair>> tree;
    std::unordered_map<int, line, std::hash<int>, std::equal_to<int>, brainmm::allocator<pair>> table;
    std::set<int, std::less<int>, brainmm::allocator<int>> keys;
    for (int i = 0; i < 5000; i++) {
        tree[i * 7 % 5003].value = i;
        table[i * 7 % 5003].value = i;
        keys.insert(i % 100);
    }
    for (const auto &entry : tree)
        PLAIN_CHECK(is_aligned(entry.second) && table.at(entry.first).value == entry.second.value);
    for (const auto &entry : table)
        PLAIN_CHECK(is_aligned(entry.second));
    PLAIN_CHECK(tree.size() == 5000 && table.size() == 5000 && keys.size() == 100);
    tree.clear();
    table.erase(1);
}

PLAIN_TEST(lists_and_deques)
{
    std::list<line, brainmm::allocator<line>> list, other;
    std::deque<line, brainmm::allocator<line>> deque;
    for (int i = 0; i < 3000; i++) {
        list.push_front(line{ i });
        deque.push_back(line{ i });
        deque.push_front(line{ -i });
        PLAIN_CHECK(is_aligned(list.front()) && is_aligned(deque.back()) && is_aligned(deque.front()));
    }
    other.splice(other.begin(), list); // as equal allocators may
    PLAIN_CHECK(list.empty() && other.size() == 3000 && deque[3000].value == 0);
}

PLAIN_TEST(moves_and_swaps_take_the_memory_over)
{
    std::vector<int, brainmm::allocator<int>> a(1000, 1), b(2000, 2), c;
    const int *data = a.data();
    c = std::move(a);
    PLAIN_CHECK(c.data() == data);
    std::swap(b, c);
    PLAIN_CHECK(b.data() == data && c.size() == 2000);
    c = b;
    PLAIN_CHECK(c == b && c.data() != data);
}

PLAIN_TEST(shared_objects)
{
    auto number = std::allocate_shared<int>(brainmm::allocator<int>(), 42);
    auto large = std::allocate_shared<page>(brainmm::allocator<void>(), page{ 7 });
    PLAIN_CHECK(*number == 42 && large->value == 7 && is_aligned(*large));
}

PLAIN_TEST(allocators_are_equal_and_free_each_others_blocks)
{
    brainmm::allocator<int> of_int;
    brainmm::allocator<line> of_line(of_int);
    PLAIN_CHECK(of_int == of_line && !(of_int != of_line) && of_int == brainmm::allocator<int>());
    line *p = of_line.allocate(3);
    PLAIN_CHECK(is_aligned(*p) && is_ours(p));
    traits<int>::rebind_alloc<line>(of_int).deallocate(p, 3);
    int *none = of_int.allocate(0);
    PLAIN_CHECK(none != nullptr);
    of_int.deallocate(none, 0);
    of_int.deallocate(nullptr, 0);
    bmm_free(of_int.allocate(10));
}

PLAIN_TEST(blocks_in_unique_ptr)
{
    brainmm::unique_ptr<char[]> text(static_cast<char *>(bmm_malloc(100)));
    text[99] = 'x';
    text.reset(static_cast<char *>(bmm_calloc(10, 10)));
    PLAIN_CHECK(text[99] == 0);
    brainmm::unique_ptr<const line> one(static_cast<const line *>(bmm_malloc_aligned(64, sizeof(line))));
    brainmm::unique_ptr<void> any(bmm_malloc(1)), nothing;
    nothing = std::move(any);
    PLAIN_CHECK(is_aligned(*one) && any == nullptr && nothing != nullptr);
}

#ifdef __cpp_exceptions

enum outcome { FINE, TOO_LONG, NO_MEMORY, OTHER };

template <typename Call> static outcome outcome_of(Call call)
{
    try {
        call();
    } catch (const std::bad_array_new_length &) {
        return TOO_LONG;
    } catch (const std::bad_alloc &) {
        return NO_MEMORY;
    } catch (...) {
        return OTHER;
    }
    return FINE;
}

PLAIN_TEST(what_there_is_no_memory_for)
{
    brainmm::allocator<line> lines;
    brainmm::allocator<char> bytes;
    for (std::size_t volatile count : { SIZE_MAX, SIZE_MAX / 64, SIZE_MAX / 64 + 2, std::size_t(PTRDIFF_MAX) / 64 + 1 })
        PLAIN_CHECK(outcome_of([&] { lines.allocate(count); }) == TOO_LONG);
    std::size_t volatile most = PTRDIFF_MAX;
    PLAIN_CHECK(outcome_of([&] { bytes.allocate(most + 1); }) == TOO_LONG);
    PLAIN_CHECK(outcome_of([&] { bytes.allocate(most - 5); }) == NO_MEMORY);
    PLAIN_CHECK(outcome_of([&] { lines.allocate(most / 64); }) == NO_MEMORY);
    std::vector<char, brainmm::allocator<char>> vector(10);
    PLAIN_CHECK(outcome_of([&] { vector.reserve(most); }) == NO_MEMORY);
    PLAIN_CHECK(vector.size() == 10);
}

static int handler_calls;

static void handler()
{
    if (++handler_calls == 3)
        std::set_new_handler(nullptr);
}

PLAIN_TEST(the_new_handler_is_called_until_it_gives_up)
{
    std::size_t volatile most = PTRDIFF_MAX;
    std::set_new_handler(handler);
    PLAIN_CHECK(outcome_of([&] { brainmm::allocator<char>().allocate(most - 5); }) == NO_MEMORY);
    PLAIN_CHECK_EQUAL(handler_calls, 3);
}

#endif

#if __cplusplus >= 201703L

#ifndef BRAINMM_HAS_MEMORY_RESOURCE
#error "here is a <memory_resource>"
#endif

PLAIN_TEST(polymorphic_containers)
{
    std::pmr::memory_resource *heap = brainmm::get_memory_resource();
    std::pmr::vector<std::pmr::string> names(heap);
    std::pmr::unordered_map<int, line> table(heap);
    std::pmr::deque<page> pages(3, heap);
    for (int i = 0; i < 3000; i++) {
        names.emplace_back(static_cast<std::size_t>(i % 300), 'x');
        table[i].value = i;
    }
    PLAIN_CHECK(is_ours(names.data()) && is_ours(names[299].data()) && names[299].get_allocator().resource() == heap);
    for (const auto &entry : table)
        PLAIN_CHECK(is_aligned(entry.second));
    PLAIN_CHECK(is_aligned(pages[1]));
    std::pmr::monotonic_buffer_resource over(heap);
    std::pmr::list<int> list({ 1, 2, 3 }, &over);
    PLAIN_CHECK(list.size() == 3);
}

PLAIN_TEST(memory_resources)
{
    std::pmr::memory_resource *heap = brainmm::get_memory_resource();
    brainmm::memory_resource other;
    PLAIN_CHECK(heap == brainmm::get_memory_resource() && heap->is_equal(*heap));
    PLAIN_CHECK(!heap->is_equal(*std::pmr::null_memory_resource()));
#ifdef __cpp_rtti
    PLAIN_CHECK(*heap == other);
#endif
    for (std::size_t align = 1; align <= 65536; align *= 2)
        for (std::size_t bytes : { 0, 1, 100, 5000, 100000 }) {
            void *p = heap->allocate(bytes, align);
            PLAIN_CHECK(p != nullptr && reinterpret_cast<std::uintptr_t>(p) % align == 0);
            other.deallocate(p, bytes, align);
        }
#ifdef __cpp_exceptions
    std::size_t volatile most = PTRDIFF_MAX;
    PLAIN_CHECK(outcome_of([&] { static_cast<void>(heap->allocate(most - 5, 8)); }) == NO_MEMORY);
    PLAIN_CHECK(outcome_of([&] { static_cast<void>(heap->allocate(SIZE_MAX, 4096)); }) == NO_MEMORY);
#endif
}

// Destroyed after whatever main used.
static struct last {
    std::pmr::vector<int> numbers{ brainmm::get_memory_resource() };
    ~last()
    {
        numbers.resize(numbers.size() + 1000);
    }
} last;

PLAIN_TEST(static_objects_use_it_to_the_end)
{
    last.numbers.assign(1000, 1);
}

#endif
