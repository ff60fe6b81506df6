/* BrainMM for C++11 and later: blocks of the heap for containers, for polymorphic allocators (C++17), and in unique_ptr.
 *
 *     std::vector<int, brainmm::allocator<int>> numbers;
 *     std::pmr::vector<int> others(brainmm::get_memory_resource());
 *     brainmm::unique_ptr<char[]> text(static_cast<char *>(bmm_malloc(100)));
 *
 * Every type's alignment is kept, also with standards before C++17. Out of memory: the new-handler is called, as operator new
 * does, until there is memory or no handler; then std::bad_alloc is thrown. Compiled without exceptions, the program is aborted
 * instead. All of it is thread-safe.
 */
#ifndef BRAINMM_BRAINMM_HPP
#define BRAINMM_BRAINMM_HPP

#include "brainmm/brainmm.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>

#if __cplusplus >= 201703L
#if __has_include(<memory_resource>)
#define BRAINMM_HAS_MEMORY_RESOURCE 1
#include <memory_resource>
#endif
#endif

namespace brainmm
{

namespace detail
{

template <typename Error> [[noreturn]] inline void fail()
{
#ifdef __cpp_exceptions
    throw Error();
#else
    std::abort();
#endif
}

/* align: a power of two. Never nullptr. */
inline void *allocate(std::size_t bytes, std::size_t align)
{
    for (;;) {
        void *p = align <= 16 ? bmm_malloc(bytes) : bmm_malloc_aligned(align, bytes);
        if (p != nullptr)
            return p;
        std::new_handler handler = std::get_new_handler();
        if (handler == nullptr)
            fail<std::bad_alloc>();
        handler();
    }
}

} // namespace detail

/* An allocator as the standard has them, without a state: any two are equal, and what one has allocated any other, of any type,
 * may deallocate. So does bmm_free. */
template <typename T> class allocator
{
  public:
    using value_type = T;
    using size_type = std::size_t;
    using difference_type = std::ptrdiff_t;
    using propagate_on_container_copy_assignment = std::true_type;
    using propagate_on_container_move_assignment = std::true_type;
    using propagate_on_container_swap = std::true_type;
    using is_always_equal = std::true_type;
    template <typename U> struct rebind {
        using other = allocator<U>;
    };

    constexpr allocator() noexcept = default;
    template <typename U> constexpr allocator(const allocator<U> &) noexcept
    {
    }

    /* Room for count objects, which may be 0. More than PTRDIFF_MAX bytes: std::bad_array_new_length. */
    T *allocate(size_type count)
    {
        if (count > static_cast<size_type>(PTRDIFF_MAX) / sizeof(T))
            detail::fail<std::bad_array_new_length>();
        return static_cast<T *>(detail::allocate(count * sizeof(T), alignof(T)));
    }

    void deallocate(T *p, size_type) noexcept
    {
        bmm_free(p);
    }
};

template <typename T, typename U> constexpr bool operator==(const allocator<T> &, const allocator<U> &) noexcept
{
    return true;
}

template <typename T, typename U> constexpr bool operator!=(const allocator<T> &, const allocator<U> &) noexcept
{
    return false;
}

/* Gives a block of the heap back and destroys nothing: for blocks, not for objects with a destructor. */
struct deleter {
    template <typename T> void operator()(T *p) const noexcept
    {
        static_assert(std::is_void<T>::value || std::is_trivially_destructible<T>::value,
                      "a destructor would not be called");
        bmm_free(const_cast<typename std::remove_cv<T>::type *>(p));
    }
};

/* Owns what bmm_malloc and its like returned; T may be an array of unknown length. */
template <typename T> using unique_ptr = std::unique_ptr<T, deleter>;

#ifdef BRAINMM_HAS_MEMORY_RESOURCE

/* The heap behind std::pmr containers. Any two are equal. */
class memory_resource : public std::pmr::memory_resource
{
  protected:
    void *do_allocate(std::size_t bytes, std::size_t align) override
    {
        return detail::allocate(bytes, align);
    }

    void do_deallocate(void *p, std::size_t, std::size_t) override
    {
        bmm_free(p);
    }

    bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
    {
#ifdef __cpp_rtti
        return dynamic_cast<const memory_resource *>(&other) != nullptr;
#else
        return this == &other;
#endif
    }
};

/* The one for everybody. It lives as long as the program: destructors of static objects may use it. */
inline memory_resource *get_memory_resource() noexcept
{
    alignas(memory_resource) static unsigned char place[sizeof(memory_resource)];
    static memory_resource *const resource = ::new (static_cast<void *>(place)) memory_resource;
    return resource;
}

#endif

} // namespace brainmm

#endif
