// error: mismatched-free size=10 allocated=main@alloc detected=main@delete
int main()
{
    char *p = new char[10]; /* @alloc */
    delete p;               /* @delete */
    return 0;
}
